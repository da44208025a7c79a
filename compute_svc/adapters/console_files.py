"""Console logs: instances_path/<uid>/console.log, kept across starts and rotated at 1 MiB to console.log.1.

The guest's output is appended by QEMU or, with qemu:///system, by virtlogd; both open the file for appending when the
guest is launched. Here only markers are written, and the file is only rotated, while the guest is off.
"""

from __future__ import annotations

import asyncio
import os
from datetime import datetime
from pathlib import Path

from compute_svc.adapters.instance_folders import CONSOLE, os_errors

ROTATE_AT = 1024**2
_MARKER = "=== protostar: boot {boot} {at:%Y-%m-%dT%H:%M:%SZ} operation {operation} ==="
_LOOK_BACK = 4096


class ConsoleFiles:
    """See ports.Consoles."""

    def __init__(self, instances_path: Path, rotate_at: int = ROTATE_AT) -> None:
        self._root = instances_path
        self._rotate_at = rotate_at

    async def begin_boot(self, uid: str, boot: int, operation: str, at: datetime) -> None:
        with os_errors():
            await asyncio.to_thread(self._begin_boot, self._root / uid / CONSOLE, boot, operation, at)

    async def tail(self, uid: str, max_bytes: int) -> tuple[bytes, bool] | None:
        with os_errors():
            return await asyncio.to_thread(_tail, self._root / uid / CONSOLE, max_bytes)

    def _begin_boot(self, log: Path, boot: int, operation: str, at: datetime) -> None:
        if _is_marked(log, boot, operation):
            return
        if _size(log) >= self._rotate_at:
            log.replace(_older(log))
        descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "ab") as file:
            begin = b"" if file.tell() == 0 else b"\n"
            file.write(begin + _MARKER.format(boot=boot, at=at, operation=operation).encode() + b"\n")


def _older(log: Path) -> Path:
    return log.with_name(log.name + ".1")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _is_marked(log: Path, boot: int, operation: str) -> bool:
    """Whether this very boot was begun before, by an attempt that was interrupted."""
    end = _last(log, _LOOK_BACK)
    return f"=== protostar: boot {boot} ".encode() in end and f" operation {operation} ===".encode() in end


def _last(path: Path, count: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(max(0, _size(path) - count))
            return file.read(count)
    except FileNotFoundError:
        return b""


def _tail(log: Path, max_bytes: int) -> tuple[bytes, bool] | None:
    """Over the seam of a rotation, if need be."""
    if not log.exists() and not _older(log).exists():
        return None
    now = _last(log, max_bytes)
    before = _last(_older(log), max_bytes - len(now)) if len(now) < max_bytes else b""
    return before + now, _size(log) + _size(_older(log)) > len(now) + len(before)
