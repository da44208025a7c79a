"""Volumes as files of one folder: <uid>.<format>, made under another name and renamed when they are whole."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from netblock_svc.domain import refusals
from netblock_svc.domain.volume import Connection, Volume
from svckit import files, process
from svckit.errors import Internal, ResourceExhausted
from svckit.failpoints import failpoint
from svckit.process import Limits

_GIB = 1024**3
_SECONDS = 60.0
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# qemu-img's only status is 1: what went wrong is in its words, the last of which are its own for EFBIG.
_NO_ROOM_WORDS = (*map(os.strerror, _NO_ROOM), "The image size is too large")


class FileVolumes:
    """The `VolumeBackend` that keeps a file a volume. Thin: a file grows as its guest writes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()
        self._folder.mkdir(parents=True, exist_ok=True)

    async def create(self, volume: Volume) -> None:
        try:
            await self._make(volume)
            await failpoint("netblock.volume.create.before_rename")
            await asyncio.to_thread(self._publish, volume)
        except BaseException:
            await asyncio.to_thread(self._temporary(volume).unlink, missing_ok=True)
            raise

    async def delete(self, volume: Volume) -> None:
        await asyncio.to_thread(self._remove, volume)

    async def connections(self, volumes: Sequence[Volume]) -> Mapping[str, Connection]:
        return await asyncio.to_thread(self._look, volumes) if volumes else {}

    async def _make(self, volume: Volume) -> None:
        size = str(volume.size_gib * _GIB)
        argv = ["qemu-img", "create", "-q", "-f", volume.format, str(self._temporary(volume)), size]
        try:
            await process.run(argv, seconds=_SECONDS, limits=Limits())
        except Internal as error:
            stderr = error.metadata.get("stderr", "")
            if not any(words in stderr for words in _NO_ROOM_WORDS):
                raise
            raise _no_space(volume, stderr) from error

    def _publish(self, volume: Volume) -> None:
        """Make the file durable, and only then let it be seen."""
        temporary = self._temporary(volume)
        try:
            temporary.chmod(0o600)
            _sync(temporary)
            temporary.replace(self._path(volume))
            files.sync_folder(self._folder)
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
            raise _no_space(volume, str(error)) from error

    def _remove(self, volume: Volume) -> None:
        self._temporary(volume).unlink(missing_ok=True)
        self._path(volume).unlink(missing_ok=True)
        files.sync_folder(self._folder)

    def _look(self, volumes: Sequence[Volume]) -> Mapping[str, Connection]:
        return {
            volume.uid: Connection(device_path=str(self._path(volume)), format=volume.format)
            for volume in volumes
            if self._path(volume).is_file()
        }

    def _path(self, volume: Volume) -> Path:
        return self._folder / f"{volume.uid}.{volume.format}"

    def _temporary(self, volume: Volume) -> Path:
        return self._folder / f".{volume.uid}.{volume.format}.new"


def _no_space(volume: Volume, why: str) -> ResourceExhausted:
    return refusals.no_space(f"volume {volume.uid} of {volume.size_gib} GiB", why)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
