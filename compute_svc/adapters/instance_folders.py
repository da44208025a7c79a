"""The folders of instances, instances_path/<uid>, on the local file system."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from compute_svc.domain.model import DomainPaths
from svckit.errors import Internal, ResourceExhausted

T = TypeVar("T")

# QEMU may run as another user (qemu:///system) and must get through to the files it is given, without seeing others.
_MODE = 0o711
CONSOLE = "console.log"


class InstanceFolders:
    """See ports.Folders."""

    def __init__(self, instances_path: Path) -> None:
        self._root = instances_path

    def paths(self, uid: str) -> DomainPaths:
        folder = self._root / uid
        return DomainPaths(instance_dir=str(folder), console_log=str(folder / CONSOLE))

    async def names(self, uid: str) -> frozenset[str] | None:
        return await _in_thread(lambda: _names(self._root / uid))

    async def make(self, uid: str) -> None:
        await _in_thread(lambda: _make(self._root / uid))

    async def keep_aside(self, uid: str, name: str) -> None:
        await _in_thread(lambda: _keep(self._root / uid / name))

    async def restore(self, uid: str, name: str) -> None:
        await _in_thread(lambda: _restore(self._root / uid / name))

    async def drop_kept(self, uid: str, name: str) -> None:
        await _in_thread(lambda: _kept(self._root / uid / name).unlink(missing_ok=True))

    async def remove(self, uid: str) -> None:
        await _in_thread(lambda: _remove(self._root / uid))


def _names(folder: Path) -> frozenset[str] | None:
    try:
        return frozenset(entry.name for entry in os.scandir(folder))
    except FileNotFoundError:
        return None


def _make(folder: Path) -> None:
    folder.parent.mkdir(mode=_MODE, parents=True, exist_ok=True)
    folder.mkdir(mode=_MODE, exist_ok=True)
    folder.chmod(_MODE)  # whatever the umask is


def _kept(path: Path) -> Path:
    return path.with_name(f".{path.name}.kept")


def _keep(path: Path) -> None:
    """A second name for the same file: its replacement comes by renaming, which leaves this one alone."""
    _kept(path).unlink(missing_ok=True)
    with contextlib.suppress(FileNotFoundError):
        os.link(path, _kept(path))


def _restore(path: Path) -> None:
    try:
        _kept(path).replace(path)
    except FileNotFoundError:
        path.unlink(missing_ok=True)


def _remove(folder: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(folder)


async def _in_thread(function: Callable[[], T]) -> T:
    with os_errors():
        return await asyncio.to_thread(function)


@contextlib.contextmanager
def os_errors() -> Iterator[None]:
    """Failures of the file system in our words."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ResourceExhausted(f"no space left at {error.filename}", reason="NO_SPACE") from error
        raise Internal(
            f"{error.filename}: {error.strerror}; look at the file system of instances_path", reason="FILE_SYSTEM"
        ) from error
