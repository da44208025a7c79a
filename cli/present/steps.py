"""An operation as it goes: lines that come alive in a terminal, plain lines elsewhere, always on stderr."""

from __future__ import annotations

import time
from typing import Protocol, Self

from google.longrunning.operations_pb2 import Operation
from protostar.api.v1 import operation_pb2
from rich.console import Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from cli.present import outcomes, terminal, words

_MARKS = {
    operation_pb2.STEP_STATE_PLANNED: ("·", "quiet"),
    operation_pb2.STEP_STATE_RUNNING: ("…", "busy"),
    operation_pb2.STEP_STATE_DONE: ("✓", "good"),
    operation_pb2.STEP_STATE_SKIPPED: ("-", "quiet"),
    operation_pb2.STEP_STATE_FAILED: ("✗", "bad"),
    operation_pb2.STEP_STATE_UNDONE: ("↶", "busy"),
}
_WAITING = {
    "HOST": "the host to be heard of",
    "IMAGE_SERVICE": "image_svc",
    "NETBLOCK_SERVICE": "netblock_svc",
    "DISPATCH": "its turn",
    "RETRY": "its next attempt",
    "CANCEL": "its cancellation",
}


class Progress(Protocol):
    """Shows an operation at each change."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *exc: object) -> None: ...
    def show(self, operation: Operation) -> None:
        """It has changed."""


def progress(headline: str, *, quiet: bool = False) -> Progress:
    """What suits where stderr goes; `quiet` is for answers in JSON, where only a person is told."""
    console = terminal.err()
    if console.is_terminal and terminal.speaks_unicode(console):
        return LiveSteps(headline)
    return Silent() if quiet else PlainSteps(headline)


class Silent:
    """Shows nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None: ...

    def show(self, operation: Operation) -> None:
        """Nothing."""


class PlainSteps:
    """A line for each step that has ended, and each thing that is waited for."""

    def __init__(self, headline: str) -> None:
        self._headline = headline
        self._told: set[tuple[str, int, int]] = set()
        self._waiting = ""

    def __enter__(self) -> Self:
        terminal.note(self._headline)
        return self

    def __exit__(self, *exc: object) -> None: ...

    def show(self, operation: Operation) -> None:
        """Tell what is new."""
        metadata = outcomes.metadata_of(operation)
        for step in metadata.steps:
            key = (step.name, step.attempt, step.state)
            if step.state != operation_pb2.STEP_STATE_RUNNING and key not in self._told:
                self._told.add(key)
                terminal.note("  ", step_line(step))
        if metadata.waiting_for and metadata.waiting_for not in (self._waiting, "DISPATCH"):
            terminal.note("  ", waiting_line(metadata))
        self._waiting = metadata.waiting_for


class LiveSteps:
    """The list of steps, redrawn as it changes, with a clock on the one that runs."""

    def __init__(self, headline: str) -> None:
        self._headline = headline
        self._metadata = operation_pb2.OperationMetadata()
        self._began: dict[tuple[str, int], float] = {}
        self._ended = False
        self._live = Live(console=terminal.err(), get_renderable=self._render, refresh_per_second=12)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._ended = True
        self._live.stop()

    def show(self, operation: Operation) -> None:
        """Redraw."""
        self._metadata = outcomes.metadata_of(operation)
        for step in self._metadata.steps:
            self._began.setdefault((step.name, step.attempt), time.monotonic())
        self._live.refresh()

    def _render(self) -> RenderableType:
        rows = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), show_header=False)
        for side in ("left", "left", "right", "left"):
            rows.add_column(justify=side, no_wrap=True, overflow="ellipsis")
        for step in self._metadata.steps:
            rows.add_row(self._mark(step), Text(words.printable(step.name)), self._clock(step), _detail(step))
        parts: list[RenderableType] = [Text(self._headline, style="bold")]
        if self._metadata.steps:
            parts.append(rows)
        if self._metadata.progress.done_bytes and not self._ended:
            parts.append(Text("  ").append_text(_bytes(self._metadata.progress)))
        if self._metadata.waiting_for and not self._ended:
            parts.append(Text("  ").append_text(waiting_line(self._metadata)))
        elif not self._metadata.steps and not self._ended:
            parts.append(Spinner("dots", text=Text("accepted", style="quiet"), style="busy"))
        return Group(*parts)

    def _mark(self, step: operation_pb2.Step) -> RenderableType:
        if step.state == operation_pb2.STEP_STATE_RUNNING and not self._ended:
            return Spinner("dots", style="busy")
        mark, style = _MARKS.get(step.state, ("?", "quiet"))
        return Text(mark, style=style)

    def _clock(self, step: operation_pb2.Step) -> Text:
        if step.state == operation_pb2.STEP_STATE_RUNNING:
            # Since we heard of it: the server's clock need not be ours.
            began = self._began[(step.name, step.attempt)]
            return Text(f"{time.monotonic() - began:.1f} s", style="busy")
        return Text(_took(step), style="quiet")


def step_line(step: operation_pb2.Step) -> Text:
    """A step in one line."""
    mark, style = _MARKS.get(step.state, ("?", "quiet"))
    line = terminal.styled((mark, style), f" {step.name:<18} ", (f"{_took(step):>8}", "quiet"), "  ")
    line.append_text(_detail(step)).rstrip()
    return line


def waiting_line(metadata: operation_pb2.OperationMetadata) -> Text:
    """What is waited for, and until when at most."""
    what = _WAITING.get(metadata.waiting_for, metadata.waiting_for)
    until = f", at most until {words.moment(metadata.deadline)}" if metadata.HasField("deadline") else ""
    return terminal.styled((f"waiting for {what}{until}", "busy"))


def _bytes(progress: operation_pb2.Progress) -> Text:
    of = f" of {words.size(progress.total_bytes)}" if progress.total_bytes else ""
    return Text(f"{words.size(progress.done_bytes)}{of}", style="quiet")


def _took(step: operation_pb2.Step) -> str:
    if not (step.HasField("start_time") and step.HasField("end_time")):
        return ""
    return words.duration(words.seconds_of(step.end_time) - words.seconds_of(step.start_time))


def _detail(step: operation_pb2.Step) -> Text:
    if step.HasField("error"):
        return terminal.styled((step.error.message, "bad"))
    parts = [word for word in (_state(step), step.detail) if word]
    return terminal.styled((", ".join(parts), "quiet"))


def _state(step: operation_pb2.Step) -> str:
    unusual = (operation_pb2.STEP_STATE_SKIPPED, operation_pb2.STEP_STATE_UNDONE, operation_pb2.STEP_STATE_PLANNED)
    return words.enum(step, "state").lower() if step.state in unusual else ""
