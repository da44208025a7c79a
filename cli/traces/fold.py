"""What a reader of a waterfall need not see. Pure.

Both ends of a call become one row; reads of a database and the watching of the operation itself disappear; many
siblings of one name become one row. Services, steps, libvirt calls, subprocesses and transactions always stay.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cli.traces.spans import CLIENT, SERVER, Span
from cli.traces.tree import Node

_WATCHING = (
    "protostar.api.v1.OperationService/WatchOperation",
    "google.longrunning.Operations/GetOperation",
    "google.longrunning.Operations/WaitOperation",
)
_MANY = 6


def fold(roots: Sequence[Node]) -> list[Node]:
    """The same trees with less in them; the nodes given are left as they are."""
    kept = [root for root in roots if not _is_noise(root.span)]
    return [_transform(root, _folded) for root in (kept or roots)]


def _transform(root: Node, change: Callable[[Node], Node]) -> Node:
    """Apply `change` to every node, the deepest first."""
    order = [node for _, node in root.walk()]
    changed: dict[int, Node] = {}
    for node in reversed(order):
        children = [changed[id(child)] for child in node.children]
        changed[id(node)] = change(Node(node.span, children, node.linked))
    return changed[id(root)]


def _folded(node: Node) -> Node:
    node.children = [child for child in node.children if not _is_noise(child.span) or _has_failed(child)]
    merged = _as_one_call(node)
    merged.children = _grouped(merged.children)
    return merged


def _is_noise(span: Span) -> bool:
    return span.name in _WATCHING or (
        span.attributes.get("db.operation.name") == "SELECT" and "db.system.name" in span.attributes
    )


def _has_failed(node: Node) -> bool:
    return node.span.failed and node.span.name not in _WATCHING


def _as_one_call(node: Node) -> Node:
    """The caller's and the callee's span of one call as the caller's, in the callee's name."""
    ends = [child for child in node.children if child.span.kind == SERVER and child.span.name == node.span.name]
    if node.span.kind != CLIENT or len(ends) != 1:
        return node
    callee = ends[0]
    others = [child for child in node.children if child is not callee]
    children = sorted([*others, *callee.children], key=lambda child: child.span.start)
    return Node(_one_span(node.span, callee.span), children, node.linked)


def _one_span(caller: Span, callee: Span) -> Span:
    return Span(
        trace_id=caller.trace_id,
        span_id=caller.span_id,
        parent_id=caller.parent_id,
        service=callee.service,
        name=caller.name,
        kind=SERVER,
        start=caller.start,
        end=caller.end,
        failed=caller.failed or callee.failed,
        message=caller.message or callee.message,
        attributes={**callee.attributes, **caller.attributes},
        links=caller.links,
    )


def _grouped(children: list[Node]) -> list[Node]:
    """Runs of leaves with the same name and service, when there are many, as one."""
    grouped: list[Node] = []
    run: list[Node] = []
    for child in children:
        if run and not _is_alike(run[-1], child):
            grouped.extend(_as_one(run))
            run = []
        run.append(child)
    return [*grouped, *_as_one(run)]


def _is_alike(one: Node, other: Node) -> bool:
    return not one.children and not other.children and _key(one.span) == _key(other.span)


def _key(span: Span) -> tuple[str, str, bool]:
    return (span.service, span.name, span.failed)


def _as_one(run: list[Node]) -> list[Node]:
    if len(run) < _MANY:
        return run
    first = run[0].span
    together = Span(
        trace_id=first.trace_id,
        span_id=first.span_id,
        parent_id=first.parent_id,
        service=first.service,
        name=f"{first.name} ×{len(run)}",
        kind=first.kind,
        start=first.start,
        end=max(node.span.end for node in run),
        failed=first.failed,
        message=first.message,
        attributes=first.attributes,
    )
    return [Node(together)]
