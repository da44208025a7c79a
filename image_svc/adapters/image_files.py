"""The catalogue's files: `<uid>.part` while they are written, `<uid>` from one rename on.

Whoever writes holds a flock on the file itself, from its first byte until its row is in; so a sweep, by this process or
by another one on the same storage, tells work in hand from what a crash left.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO

from image_svc.adapters.os_errors import storage_errors
from image_svc.adapters.threads import acquired_in_thread, in_thread
from svckit.errors import Aborted
from svckit.files import sync_folder
from svckit.names import is_uuid

_PART = ".part"


class UploadFile:
    """`ports.Upload`. Runs of zeros become holes."""

    def __init__(self, file: BinaryIO, part: Path) -> None:
        self._file = file
        self._part = part
        self._hash = hashlib.sha256()
        self._published = False
        self.size_bytes = 0

    @property
    def path(self) -> str:
        """See ports.Upload."""
        return str(self._part)

    @property
    def sha256(self) -> str:
        """See ports.Upload."""
        return self._hash.hexdigest()

    async def write(self, chunk: bytes) -> None:
        """See ports.Upload."""
        with storage_errors(self.path):
            await in_thread(self._write, chunk)

    async def seal(self) -> None:
        """See ports.Upload."""
        with storage_errors(self.path):
            await in_thread(self._seal)

    async def publish(self) -> None:
        """See ports.Upload."""
        with storage_errors(self.path):
            await in_thread(self._publish)

    def close(self) -> None:
        """Remove what was not published, then let go of the lock."""
        if not self._published:
            self._part.unlink(missing_ok=True)
        self._file.close()

    def _write(self, chunk: bytes) -> None:
        self._hash.update(chunk)
        if chunk[0] == 0 and chunk == bytes(len(chunk)):
            self._file.seek(len(chunk), os.SEEK_CUR)
        else:
            self._file.write(chunk)
        self.size_bytes += len(chunk)

    def _seal(self) -> None:
        self._file.truncate(self.size_bytes)
        os.fsync(self._file.fileno())

    def _publish(self) -> None:
        self._part.replace(self._part.with_suffix(""))
        self._published = True
        sync_folder(self._part.parent)


class ImageFolder:
    """`ports.ImageFiles` in one folder, which may be shared between hosts."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, uid: str) -> str:
        """See ports.ImageFiles."""
        return str(self._folder / uid)

    @contextlib.asynccontextmanager
    async def begin(self, uid: str) -> AsyncIterator[UploadFile]:
        """See ports.ImageFiles."""
        part = self._folder / f"{uid}{_PART}"
        with storage_errors(str(part)):
            upload = await acquired_in_thread(UploadFile.close, _begin, part)
        try:
            yield upload
        finally:
            await in_thread(upload.close)

    async def size_bytes(self, uid: str) -> int | None:
        """See ports.ImageFiles."""
        with storage_errors(self.path(uid)):
            try:
                return (await in_thread((self._folder / uid).stat)).st_size
            except FileNotFoundError:
                return None

    async def remove(self, uid: str) -> None:
        """See ports.ImageFiles."""
        with storage_errors(self.path(uid)):
            await in_thread((self._folder / uid).unlink, missing_ok=True)

    async def leftovers(self) -> list[str]:
        """See ports.ImageFiles."""
        with storage_errors(str(self._folder)):
            return await in_thread(self._leftovers)

    def _leftovers(self) -> list[str]:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        idle = [path for path in self._folder.iterdir() if is_uuid(path.name.removesuffix(_PART)) and _is_idle(path)]
        for path in idle:
            if path.name.endswith(_PART):
                path.unlink(missing_ok=True)
        return [path.name for path in idle if not path.name.endswith(_PART)]


def _begin(part: Path) -> UploadFile:
    """A new, empty part under our lock."""
    part.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    while True:
        file = os.fdopen(os.open(part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+b")
        if not _lock(file):
            file.close()
            raise Aborted(
                f"{part} is being written by another process; wait for that, then look again",
                reason="OPERATION_IN_PROGRESS",
                retry_after=2.0,
            )
        if _is_same(file, part):
            file.truncate()
            return UploadFile(file, part)
        file.close()  # it was removed between open and lock; ours must have the name


def _lock(file: BinaryIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_same(file: BinaryIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _is_idle(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return _lock(file)
    except FileNotFoundError:
        return False
