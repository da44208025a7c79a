"""The services coming up: a list that comes alive in a terminal, plain lines elsewhere, always on stderr."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from rich.console import Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from cli.present import terminal, words
from cli.supervisor.plan import Program


@dataclass
class _Row:
    label: str
    address: str
    serving: bool = False
    remark: str = "starting"
    took: float | None = None


class Board:
    """What is known of each service, and of the host behind them."""

    def __init__(self, programs: Iterable[Program], *, quiet: bool) -> None:
        self._rows = {program.name: _Row(program.name, program.address) for program in programs}
        self._rows["host"] = _Row("host", "", remark="waiting for compute_svc to report")
        self._began = time.monotonic()
        self._quiet = quiet
        self._ended = False
        self._has_changed = False
        console = terminal.err()
        alive = console.is_terminal and terminal.speaks_unicode(console)
        self._live = Live(console=console, get_renderable=self._render, refresh_per_second=10) if alive else None

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._ended = True
        if self._live:
            # Where nothing has happened there is nothing to leave behind.
            self._live.transient = not self._has_changed
            self._live.stop()

    def serves(self, name: str, remark: str = "serving") -> None:
        """It is there."""
        row = self._rows[name]
        row.serving, row.remark, row.took = True, remark, time.monotonic() - self._began
        self._changed(row)

    def ended(self, name: str, how: str) -> None:
        """It was there, or never."""
        row = self._rows[name]
        row.serving, row.remark, row.took = False, f"{how}, trying again", None
        self._changed(row)

    def missing(self) -> list[str]:
        """Who does not serve yet."""
        return [name for name, row in self._rows.items() if not row.serving]

    def _changed(self, row: _Row) -> None:
        self._has_changed = True
        if self._live:
            self._live.refresh()
        elif not self._quiet:
            took = f", {words.duration(row.took)}" if row.took is not None else ""
            terminal.note("  ", ("✓ ", "good") if row.serving else ("✗ ", "bad"), f"{row.label} {row.remark}{took}")

    def _render(self) -> RenderableType:
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
        for _ in range(4):
            table.add_column(no_wrap=True, overflow="ellipsis")
        for row in self._rows.values():
            style = "" if row.serving else "busy"
            took = words.duration(row.took) if row.took is not None else ""
            label = Text(row.label, style=row.label if row.label in self._rows and row.address else "")
            remark = Text.assemble((row.address, ""), "  " if row.address else "", (row.remark, style or "quiet"))
            table.add_row(self._mark(row), label, remark, Text(took, style="quiet"))
        return Group(table)

    def _mark(self, row: _Row) -> RenderableType:
        if row.serving:
            return Text("✓", style="good")
        return Text("✗", style="bad") if self._ended else Spinner("dots", style="busy")
