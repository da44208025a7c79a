"""Admission to what loads the host, and an end to it when the service has to go."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from svckit.errors import Unavailable


class Work:
    """Bounds how much runs at once, and can cut off what runs too long for a shutdown.

    Heavy is what reads or writes whole images on this host; light is a short run of qemu-img; a download waits for
    somebody else's server. None waits for another kind, so that an instance starts while an image is being converted
    and another one drips in (Nova: max_concurrent_disk_ops, one bound for all).
    """

    def __init__(self, *, downloads: int, heavy: int, light: int) -> None:
        self.downloads = asyncio.Semaphore(downloads)
        self.heavy = asyncio.Semaphore(heavy)
        self.light = asyncio.Semaphore(light)
        self._inside: set[asyncio.Task[Any]] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._cut = False

    @contextlib.asynccontextmanager
    async def interruptible(self) -> AsyncIterator[None]:
        """What runs inside may be cut off by `drain`.

        :raise Unavailable: SHUTTING_DOWN, it was; whatever it had begun has been taken back.
        """
        task = asyncio.current_task()
        assert task is not None
        self._inside.add(task)
        self._idle.clear()
        try:
            yield
        except asyncio.CancelledError:
            if not self._cut:
                raise
            task.uncancel()
            raise Unavailable(
                "the image service is shutting down; what was begun has been taken back, retry",
                reason="SHUTTING_DOWN",
                retry_after=1.0,
            ) from None
        finally:
            self._inside.discard(task)
            if not self._inside:
                self._idle.set()

    async def drain(self) -> None:
        """Wait for what is inside; when this wait is cancelled, cut it off and wait until it has cleaned up."""
        try:
            await self._idle.wait()
        finally:
            self._cut = True
            for task in self._inside:
                task.cancel()
            await self._idle.wait()
