"""Rows of text and bars on a time axis, for a given width. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cli.traces.spans import Span
from cli.traces.tree import Node

_SERVICE_WIDTH = 12
_DURATION_WIDTH = 8
_SMALLEST_BAR = 12
_LARGEST_LABEL = 60
_GAPS = 6
_INDENT = 2
_DEEPEST = 25


@dataclass(frozen=True, kw_only=True)
class Row:
    """A line of the waterfall. The bar covers `length` cells from `offset`; both may have parts of a cell."""

    service: str
    label: str
    offset: float
    length: float
    seconds: float
    failed: bool = False
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class Waterfall:
    """Rows and the axis above them: ticks are cells and seconds."""

    rows: Sequence[Row]
    label_width: int
    bar_width: int
    seconds: float
    ticks: Sequence[tuple[int, float]]


def lay_out(roots: Sequence[Node], width: int) -> Waterfall:
    """Where everything goes. There is room for a bar however narrow the terminal is."""
    nodes = [(depth, node) for root in roots for depth, node in root.walk()]
    start = min((node.span.start for _, node in nodes), default=0)
    end = max((max(node.span.start, node.span.end) for _, node in nodes), default=0)
    total = max(end - start, 1)
    labels = [_label(depth, node) for depth, node in nodes]
    label_width, bar_width = _widths(max((len(label) for label in labels), default=0), width)
    scale = bar_width / total
    rows = [
        Row(
            service=node.span.service,
            label=shortened(label, label_width),
            offset=(node.span.start - start) * scale,
            length=max(0, node.span.end - node.span.start) * scale,
            seconds=node.span.seconds,
            failed=node.span.failed,
            message=node.span.message if _is_origin(node) else "",
        )
        for label, (_, node) in zip(labels, nodes, strict=True)
    ]
    seconds = total / 1e9
    return Waterfall(
        rows=rows, label_width=label_width, bar_width=bar_width, seconds=seconds, ticks=_ticks(seconds, bar_width)
    )


def short_name(span: Span) -> str:
    """An RPC by its method, since its service has a column; everything else as it is."""
    return span.name.rpartition("/")[2] if "rpc.method" in span.attributes else span.name


def shortened(text: str, width: int) -> str:
    """Text in so many characters."""
    return text if len(text) <= width else text[: max(width - 1, 0)] + "…"


def _label(depth: int, node: Node) -> str:
    return " " * (_INDENT * min(depth, _DEEPEST)) + short_name(node.span) + _attempt(depth, node)


def _attempt(depth: int, node: Node) -> str:
    attempt = node.span.attributes.get("protostar.attempt", 1)
    if attempt not in (1, "1"):
        return f", attempt {attempt}"
    return ", later attempt" if node.linked and depth == 0 else ""


def _is_origin(node: Node) -> bool:
    """A failure passes from a span to its parents; it is told where it began."""
    return node.span.failed and not any(child.span.failed for child in node.children)


def _widths(longest: int, width: int) -> tuple[int, int]:
    room = max(width - _SERVICE_WIDTH - _DURATION_WIDTH - _GAPS, 2 * _SMALLEST_BAR)
    label = min(longest, _LARGEST_LABEL, room // 2)
    return label, room - label


def _ticks(seconds: float, width: int) -> list[tuple[int, float]]:
    """At most five round times, evenly spaced."""
    step = _round_step(seconds / 4)
    count = int(seconds / step) + 1
    return [(int(place * step / seconds * width), place * step) for place in range(min(count, 10))]


def _round_step(seconds: float) -> float:
    """The smallest of 1, 2, 5 times a power of ten that is not below."""
    power = 1e-9
    while power * 10 <= seconds:
        power *= 10
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= seconds * 0.999)
