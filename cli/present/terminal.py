"""Where output goes: answers to stdout, everything said on the way to stderr.

Text of others is never read as markup, and loses what would make the terminal do anything but print it.
"""

from __future__ import annotations

import sys

from rich.console import Console
from rich.text import Text
from rich.theme import Theme

from cli.present.words import printable

_THEME = Theme(
    {
        "good": "green",
        "bad": "bold red",
        "busy": "yellow",
        "quiet": "bright_black",
        "command": "cyan",
        "api_svc": "blue",
        "compute_svc": "yellow",
        "image_svc": "green",
        "netblock_svc": "cyan",
        "cli": "bright_black",
    }
)
# A line that is read by a program is never cut.
_NO_TERMINAL_WIDTH = 100_000


def out() -> Console:
    """For answers."""
    return _console(stderr=False)


def err() -> Console:
    """For progress, notes and errors."""
    return _console(stderr=True)


def say(*parts: str | Text | tuple[str, str]) -> None:
    """A line of an answer; a pair is text and its style."""
    _print(out(), parts)


def note(*parts: str | Text | tuple[str, str]) -> None:
    """A line on the way."""
    _print(err(), parts)


def styled(*parts: str | Text | tuple[str, str]) -> Text:
    """Parts put together."""
    text = Text()
    for part in parts:
        if isinstance(part, tuple):
            text.append(printable(part[0]), style=part[1])
        elif isinstance(part, Text):
            text.append_text(part)
        else:
            text.append(printable(part))
    return text


def speaks_unicode(console: Console) -> bool:
    """Whether it shows more than ASCII."""
    return not console.options.ascii_only


def _print(console: Console, parts: tuple[str | Text | tuple[str, str], ...]) -> None:
    text = styled(*parts)
    if speaks_unicode(console):
        console.print(text, soft_wrap=True)
    else:
        console.print(Text(text.plain.translate(_ASCII)), soft_wrap=True)


_ASCII = str.maketrans({"✓": "+", "✗": "x", "·": "-", "…": "...", "→": "->", "µ": "u", "─": "-", "×": "x", "•": "*"})


def _console(*, stderr: bool) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else _NO_TERMINAL_WIDTH
    return Console(stderr=stderr, theme=_THEME, markup=False, highlight=False, emoji=False, width=width)
