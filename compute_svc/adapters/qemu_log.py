"""QEMU's own log of a guest, which libvirt keeps: where the reason is when a guest dies."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

from compute_svc.adapters import libvirt_embed

_SYSTEM = Path("/var/log/libvirt/qemu")
_LINES = 12
# Errors travel in gRPC's trailing metadata, which has 8 KiB for everything.
_CHARACTERS = 1200


class QemuLogs:
    """Logs by domain name. Without a folder (libvirt's test driver) there are none."""

    def __init__(self, folder: Path | None, *, owned: bool = False) -> None:
        self._folder = folder
        self._owned = owned

    @classmethod
    def of(cls, uri: str) -> QemuLogs:
        """Where the logs of this connection are; only those below a root of our own are ours to remove."""
        root = libvirt_embed.root_of(uri)
        if root is not None:
            return cls(root / "log/qemu", owned=True)
        return cls(_SYSTEM if uri.startswith("qemu:") else None)

    async def size(self, name: str) -> int:
        """Bytes; 0 when there is none, or none that we may read."""
        return await asyncio.to_thread(self._size, name) if self._folder else 0

    async def tail(self, name: str) -> str:
        """The last lines, without those of the command line."""
        return await asyncio.to_thread(self._tail, name) if self._folder else ""

    async def remove(self, name: str) -> None:
        """Remove it where it is ours."""
        if self._owned:
            await asyncio.to_thread(self._path(name).unlink, missing_ok=True)

    def _path(self, name: str) -> Path:
        assert self._folder is not None
        return self._folder / f"{name}.log"

    def _size(self, name: str) -> int:
        with contextlib.suppress(OSError):
            return self._path(name).stat().st_size
        return 0

    def _tail(self, name: str) -> str:
        with contextlib.suppress(OSError), self._path(name).open("rb") as log:
            log.seek(max(0, self._size(name) - 16 * 1024))
            lines = log.read().decode(errors="replace").splitlines()
            told = [line for line in lines if not line.startswith(("-", "LC_", "PATH=", "HOME=", "XDG_", "/usr/"))]
            return "\n".join(told[-_LINES:])[-_CHARACTERS:]
        return ""
