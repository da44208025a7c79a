"""Locks between processes: files under instances_path/locks, so that they hold over shared storage too (as Nova's)."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
from collections.abc import AsyncIterator

from image_svc.adapters.folders import make_folder
from image_svc.adapters.os_errors import storage_errors
from image_svc.adapters.threads import acquired_in_thread, in_thread
from svckit.errors import DeadlineExceeded

_FIRST_WAIT, _LONGEST_WAIT = 0.02, 0.5


class FileLocks:
    """`ports.Locks`.

    Nobody waits in flock(2) itself: a thread in there could be stopped neither by a deadline nor by a shutdown. Within
    the process use cases queue on a lock of their own first, so that only another process is ever polled for.
    """

    def __init__(self, folder: str, seconds: float) -> None:
        self._folder = folder
        self._seconds = seconds

    @contextlib.asynccontextmanager
    async def hold(self, name: str) -> AsyncIterator[None]:
        """See ports.Locks. Its file stays: removing it could let two in."""
        path = f"{self._folder}/protostar-{name}"
        with storage_errors(path):
            descriptor = await acquired_in_thread(os.close, self._open, path)
        try:
            await self._acquire(descriptor, path)
            yield
        finally:
            os.close(descriptor)

    async def _acquire(self, descriptor: int, path: str) -> None:
        wait = _FIRST_WAIT
        try:
            async with asyncio.timeout(self._seconds):
                while not await in_thread(_try, descriptor, path):
                    await asyncio.sleep(wait)
                    wait = min(2 * wait, _LONGEST_WAIT)
        except TimeoutError:
            raise DeadlineExceeded(
                f"another process held {path} for {self._seconds:g} s; see what it does, then retry",
                reason="LOCK_TIMEOUT",
                metadata={"lock": path},
            ) from None

    def _open(self, path: str) -> int:
        make_folder(self._folder)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _try(descriptor: int, path: str) -> bool:
    with storage_errors(path):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
