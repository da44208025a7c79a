"""Which spans are in the files of a traces folder. Files are read as streams: they may be large."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from cli.traces import spans
from cli.traces.spans import Span


def spans_of(folder: Path, trace_id: str) -> list[Span]:
    """All spans of a trace, and of the traces that are linked to it: later attempts at the same work."""
    near = list(_mentioning(folder, {trace_id}))
    linked = {span.trace_id for span in near if trace_id in span.links and span.trace_id != trace_id}
    found = [span for span in near if span.trace_id == trace_id]
    if linked:
        found.extend(span for span in _mentioning(folder, linked) if span.trace_id in linked)
    return list({(span.trace_id, span.span_id): span for span in found}.values())


def trace_of_operation(folder: Path, operation: str) -> str:
    """The trace that an operation began in, from spans alone; empty when none tells."""
    uid = operation.rpartition("/")[2]
    about = [span for span in _mentioning(folder, {uid}) if _is_about(span, uid)]
    return min(about, key=lambda span: span.start).trace_id if about else ""


def _is_about(span: Span, uid: str) -> bool:
    return str(span.attributes.get("protostar.operation", "")).rpartition("/")[2] == uid


def _mentioning(folder: Path, words: Iterable[str]) -> Iterator[Span]:
    needles = [word.encode() for word in words]
    for path in sorted(folder.glob("*.jsonl*")):
        for line in _lines(path):
            if any(needle in line for needle in needles):
                yield from spans.read(line)


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            yield from file
    except OSError:  # rotated away under our hands, or not ours to read
        return
