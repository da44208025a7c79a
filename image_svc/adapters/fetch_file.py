"""Images from a path on this machine. Only regular files, only below the folders that the operator allows."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from image_svc.adapters.threads import acquired_in_thread, in_thread
from image_svc.domain.refusals import source_unreadable

_CHUNK = 4 * 1024**2


@dataclass(frozen=True)
class OpenFile:
    """`ports.SourceStream` of an open file."""

    descriptor: int
    source: str
    total_bytes: int

    async def chunks(self) -> AsyncIterator[bytes]:
        """See ports.SourceStream."""
        done = 0
        while chunk := await in_thread(self._read):
            done += len(chunk)
            yield chunk
        if done != self.total_bytes:
            raise source_unreadable(self.source, f"it changed while it was read: {done} of {self.total_bytes} bytes")

    def close(self) -> None:
        """Let go of it."""
        os.close(self.descriptor)

    def _read(self) -> bytes:
        try:
            return os.read(self.descriptor, _CHUNK)
        except OSError as error:
            raise source_unreadable(self.source, error.strerror or str(error)) from error


class FileSource:
    """`ports.Sources` for absolute paths."""

    def __init__(self, roots: Sequence[Path]) -> None:
        self._roots = [root.resolve() for root in roots]

    @contextlib.asynccontextmanager
    async def open(self, source: str) -> AsyncIterator[OpenFile]:
        """See ports.Sources."""
        stream = await acquired_in_thread(OpenFile.close, self._open, source)
        try:
            yield stream
        finally:
            stream.close()

    def _open(self, source: str) -> OpenFile:
        try:
            path = Path(source).resolve(strict=True)
            if not any(path.is_relative_to(root) for root in self._roots):
                raise source_unreadable(source, "it is in no folder of PROTOSTAR_IMAGE_SOURCE_ROOTS")
            # O_NONBLOCK: opening a pipe must not wait for somebody to write into it.
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except (OSError, ValueError, RuntimeError) as error:  # ValueError: a NUL; RuntimeError: a ring of links
            raise source_unreadable(source, getattr(error, "strerror", None) or str(error)) from error
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            os.close(descriptor)
            raise source_unreadable(source, "it is not a regular file")
        return OpenFile(descriptor, source, status.st_size)
