"""Rows on a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from cli.present import terminal, words
from cli.traces.layout import Row, Waterfall, shortened

_EIGHTHS = " ▏▎▍▌▋▊▉█"
_SERVICE_WIDTH = 12
_DURATION_WIDTH = 8


def draw(waterfall: Waterfall, console: Console) -> None:
    """Print the axis, then every row; a failure's message under the row where it began."""
    fancy = terminal.speaks_unicode(console)
    console.print(_axis(waterfall), soft_wrap=True)
    for row in waterfall.rows:
        console.print(_line(row, waterfall, fancy=fancy), soft_wrap=True)
        if row.message:
            console.print(_message(row, console.width, fancy=fancy), soft_wrap=True)


def bar(offset: float, length: float, width: int, *, fancy: bool) -> str:
    """A bar of `length` cells that begins at `offset`, in a field of `width` cells; never invisible."""
    begin = min(int(offset), width - 1)
    if not fancy:
        return (" " * begin + "#" * max(1, round(length)))[:width].ljust(width)
    whole, part = divmod(max(round(length * 8), 1), 8)
    cells = "█" * whole + (_EIGHTHS[part] if part else "")
    return (" " * begin + cells)[:width].ljust(width)


def _line(row: Row, waterfall: Waterfall, *, fancy: bool) -> Text:
    style = "bad" if row.failed else _style(row.service)
    return terminal.styled(
        (f"{row.service[:_SERVICE_WIDTH]:<{_SERVICE_WIDTH}} ", _style(row.service)),
        (f"{row.label:<{waterfall.label_width}}  ", "bad" if row.failed else ""),
        (bar(row.offset, row.length, waterfall.bar_width, fancy=fancy), style),
        (f" {words.duration(row.seconds):>{_DURATION_WIDTH}}", "bad" if row.failed else "quiet"),
    )


def _message(row: Row, width: int, *, fancy: bool) -> Text:
    indent = _SERVICE_WIDTH + 1 + len(row.label) - len(row.label.lstrip())
    message = shortened(" ".join(row.message.split()), 2 * width - indent - 4)
    return terminal.styled(" " * indent, (f"{'└ ' if fancy else ''}{message}", "bad"))


def _axis(waterfall: Waterfall) -> Text:
    cells = [" "] * (waterfall.bar_width + _DURATION_WIDTH)
    free = 0
    for place, seconds in waterfall.ticks:
        word = words.duration(seconds) if seconds else "0"
        if place >= free and place + len(word) <= len(cells):
            cells[place : place + len(word)] = word
            free = place + len(word) + 1
    indent = " " * (_SERVICE_WIDTH + 1 + waterfall.label_width + 2)
    return terminal.styled((indent + "".join(cells).rstrip(), "quiet"))


def _style(service: str) -> str:
    known = ("api_svc", "compute_svc", "image_svc", "netblock_svc", "cli")
    return service if service in known else "bright_white"
