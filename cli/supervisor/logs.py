"""A log file per service, kept across restarts, put aside when it has grown large."""

from __future__ import annotations

import os
from pathlib import Path

_LARGE_BYTES = 16 * 1024**2


def path_of(logs_dir: Path, name: str) -> Path:
    """Where a service's log is."""
    return logs_dir / f"{name}.log"


def open_log(logs_dir: Path, name: str, large: int = _LARGE_BYTES) -> int:
    """A descriptor to append to; a log that is large already becomes <name>.log.1 first."""
    path = path_of(logs_dir, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > large:
        path.replace(path.with_name(path.name + ".1"))
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)


def tail(path: Path, lines: int = 12, window: int = 64 * 1024) -> list[str]:
    """The last lines of a log; none when there is no log."""
    if not path.exists():
        return []
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - window))
        return file.read().decode(errors="replace").splitlines()[-lines:]
