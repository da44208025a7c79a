"""Which Debian packages Protostar needs to run, and which of them are not installed."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

_LIST = Path(__file__).resolve().parents[2] / "deploy/packages.txt"
_SECONDS = 10


def not_installed(listed: Path = _LIST) -> list[str]:
    """Packages of the checkout's list that are missing; none where there is no list or no dpkg to ask."""
    if not listed.exists() or shutil.which("dpkg-query") is None:
        return []
    wanted = needed(listed.read_text(), ("run",))
    return [package for package in wanted if package not in _installed(wanted)]


def needed(text: str, groups: Sequence[str]) -> list[str]:
    """The packages of some groups. A line is GROUP PACKAGE  # what for."""
    lines = (line.partition("#")[0].split() for line in text.splitlines())
    return [fields[1] for fields in lines if len(fields) == 2 and fields[0] in groups]


def _installed(packages: Sequence[str]) -> set[str]:
    format_ = "-f=${Package} ${db:Status-Status}\\n"
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        # It fails when one package is unknown, and still tells of the others.
        answer = subprocess.run(
            ["dpkg-query", "-W", format_, *packages], capture_output=True, text=True, timeout=_SECONDS, check=False
        )
        lines = (line.split() for line in answer.stdout.splitlines())
        return {fields[0] for fields in lines if fields[1:] == ["installed"]}
    return set(packages)
