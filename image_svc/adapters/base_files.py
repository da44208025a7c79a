"""The files of `instances_path/_base`. A rename is the commit point of each."""

from __future__ import annotations

import os
from pathlib import Path

from image_svc.adapters.copying import copy_file
from image_svc.adapters.folders import make_folder
from image_svc.adapters.os_errors import storage_errors
from image_svc.adapters.threads import in_thread
from svckit.files import sync_folder

TEMPORARY = (".part", ".converted")  # Nova's names for a download and for a conversion


class BaseFolder:
    """`ports.BaseFiles`."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)

    async def exists(self, name: str) -> bool:
        """See ports.BaseFiles. The time of last use is what tells a cleaner which bases are idle."""
        with storage_errors(self._path(name)):
            return await in_thread(mark_used, self._path(name))

    async def prepare(self, temporary: str) -> str:
        """See ports.BaseFiles."""
        path = self._path(temporary)
        with storage_errors(path):
            await in_thread(make_folder, self.folder)
            await in_thread(Path(path).unlink, missing_ok=True)
        return path

    async def copy(self, source: str, temporary: str) -> str:
        """See ports.BaseFiles."""
        path = await self.prepare(temporary)
        await copy_file(source, path)
        return path

    async def publish(self, temporary: str, name: str) -> None:
        """See ports.BaseFiles."""
        with storage_errors(self._path(name)):
            await in_thread(_publish, self._path(temporary), self._path(name))

    async def discard(self, temporary: str) -> None:
        """See ports.BaseFiles."""
        with storage_errors(self._path(temporary)):
            await in_thread(Path(self._path(temporary)).unlink, missing_ok=True)

    async def leftovers(self) -> list[str]:
        """See ports.BaseFiles."""
        with storage_errors(self.folder):
            return await in_thread(_leftovers, Path(self.folder))

    def _path(self, name: str) -> str:
        return f"{self.folder}/{name}"


def mark_used(path: str) -> bool:
    """Whether a base is there; if so it was last used now. Blocks."""
    try:
        os.utime(path)
    except FileNotFoundError:
        return False
    except OSError:  # read-only, or shared storage that another user owns (Nova: bug 1809123)
        return Path(path).exists()
    return True


def _publish(temporary: str, path: str) -> None:
    descriptor = os.open(temporary, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fchmod(descriptor, 0o644)  # QEMU's user reads it and owns none of it
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    Path(temporary).replace(path)
    sync_folder(Path(path).parent)


def _leftovers(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []
    return [entry.name for entry in folder.iterdir() if entry.name.endswith(TEMPORARY)]
