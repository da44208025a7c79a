"""Columns of text: aligned, never cut in what matters, plain when a program reads them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.present import terminal

Cell = str | Text
_STATES = {
    "ACTIVE": "good",
    "RUNNING": "good",
    "UP": "good",
    "SERVING": "good",
    "SUCCEEDED": "good",
    "DONE": "good",
    "ERROR": "bad",
    "FAILED": "bad",
    "CRASHED": "bad",
    "UNKNOWN": "busy",
    "SILENT": "busy",
    "BUILDING": "busy",
    "QUEUED": "busy",
    "SUPERSEDED": "busy",
    "CANCELLED": "busy",
}


@dataclass(frozen=True)
class Column:
    """A heading, and how to get the cell of an entry. Less important columns go first where there is no room."""

    title: str
    cell: Callable[[Any], Cell]
    importance: int = 9
    right: bool = False


def state(word: str, style: str = "") -> Text:
    """A state's word in its colour."""
    return Text(word, style=style or _STATES.get(word, ""))


def show(columns: Sequence[Column], entries: Sequence[Any], empty: str) -> None:
    """Print a table of the entries, or say what to do when there are none."""
    if not entries:
        terminal.note((empty, "quiet"))
        return
    rows = [[_text(column.cell(entry)) for column in columns] for entry in entries]
    console = terminal.out()
    kept = fitting([_width(column, rows, place) for place, column in enumerate(columns)], columns, console.width)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for place in kept:
        column = columns[place]
        table.add_column(column.title, justify="right" if column.right else "left", no_wrap=True, overflow="ellipsis")
    for row in rows:
        table.add_row(*(row[place] for place in kept))
    _print(console, table)


def show_fields(fields: Sequence[tuple[str, Cell]]) -> None:
    """Print names and values of one thing, leaving out what is empty."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in fields:
        text = _text(value)
        if text.plain:
            table.add_row(name, text)
    _print(terminal.out(), table)


def _print(console: Console, table: Table) -> None:
    """Without the blanks that fill up each line: programs read it too."""
    with console.capture() as capture:
        console.print(table)
    console.file.writelines(f"{line.rstrip()}\n" for line in capture.get().splitlines())
    console.file.flush()


def fitting(widths: Sequence[int], columns: Sequence[Column], room: int) -> list[int]:
    """The places of the columns that fit side by side; the least important go first, from the right."""
    kept = list(range(len(columns)))
    while len(kept) > 1 and sum(widths[place] + 2 for place in kept) - 2 > room:
        kept.remove(min(reversed(kept), key=lambda place: columns[place].importance))
    return kept


def _width(column: Column, rows: Sequence[Sequence[Text]], place: int) -> int:
    return max(len(column.title), *(row[place].cell_len for row in rows))


def _text(cell: Cell) -> Text:
    return cell if isinstance(cell, Text) else terminal.styled(cell)
