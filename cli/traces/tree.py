"""Spans by parents, whatever is missing, and clocks that disagree put right. Pure; no recursion, traces may be deep."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from cli.traces.spans import CLIENT, SERVER, Span

# Two processes on one machine measure the same call a little differently; that is not a wrong clock.
_TOLERANCE_NS = 20_000_000

Key = tuple[str, str]  # trace and span


@dataclass
class Node:
    """A span and what happened inside it, by time."""

    span: Span
    children: list[Node] = field(default_factory=list)
    linked: bool = False

    def walk(self) -> Iterator[tuple[int, Node]]:
        """This node and all below it, with their depth, in the order in which they are drawn."""
        stack = [(0, self)]
        while stack:
            depth, node = stack.pop()
            yield depth, node
            stack.extend((depth + 1, child) for child in reversed(node.children))


def build(spans: Sequence[Span], trace_id: str) -> list[Node]:
    """The roots, by time. Every span is in exactly one tree.

    A span whose parent is not there (not ended yet, lost, or the caller's own) is a root. Roots of other traces are
    later attempts and say so.
    """
    nodes = {(span.trace_id, span.span_id): Node(span) for span in sorted(spans, key=_order)}
    parents = {key: (node.span.trace_id, node.span.parent_id) for key, node in nodes.items()}
    openings = _ring_openings(parents)
    roots: list[Node] = []
    for key, node in nodes.items():
        parent = nodes.get(parents[key])
        if parent is None or key in openings:
            node.linked = node.span.trace_id != trace_id
            roots.append(node)
        else:
            parent.children.append(node)
    for root in roots:
        _agree_on_time(root)
    return roots


def _order(span: Span) -> tuple[int, int, str]:
    return (span.start, -span.end, span.span_id)


def _ring_openings(parents: Mapping[Key, Key]) -> set[Key]:
    """One span of each ring that parents form; only broken spans do."""
    openings: set[Key] = set()
    settled: set[Key] = set()
    for key in parents:
        path: dict[Key, None] = {}
        while key in parents and key not in settled and key not in path:
            path[key] = None
            key = parents[key]
        if key in path:
            openings.add(key)
        settled.update(path)
    return openings


def _agree_on_time(root: Node) -> None:
    """Shift what another host's clock put outside of the call it belongs to."""
    stack = [root]
    while stack:
        node = stack.pop()
        for child in node.children:
            if offset := _offset(node.span, child.span):
                _shift(child, offset)
        stack.extend(node.children)


def _offset(caller: Span, callee: Span) -> int:
    """What to add to the callee's times so that the call lies within what its caller saw of it."""
    if caller.kind != CLIENT or callee.kind != SERVER or caller.service == callee.service:
        return 0
    early, late = caller.start - callee.start, callee.end - caller.end
    if early <= _TOLERANCE_NS and late <= _TOLERANCE_NS:
        return 0
    spare = max(0, (caller.end - caller.start) - (callee.end - callee.start))
    return caller.start + spare // 2 - callee.start


def _shift(root: Node, offset: int) -> None:
    for _, node in root.walk():
        span = node.span
        corrected = {**span.attributes, "protostar.clock_offset_ns": offset}
        node.span = replace(span, start=span.start + offset, end=span.end + offset, attributes=corrected)


def missing_parents(spans: Sequence[Span]) -> set[str]:
    """Ids of parents that are not among the spans."""
    known: dict[str, set[str]] = defaultdict(set)
    for span in spans:
        known[span.trace_id].add(span.span_id)
    return {span.parent_id for span in spans if span.parent_id and span.parent_id not in known[span.trace_id]}
