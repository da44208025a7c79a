"""The disks in `instances_path/<uid>`: looking at them, putting them there, removing them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from image_svc.adapters import disk_info
from image_svc.adapters.base_files import mark_used
from image_svc.adapters.copying import copy_file
from image_svc.adapters.folders import make_folder
from image_svc.adapters.os_errors import storage_errors
from image_svc.adapters.threads import in_thread
from image_svc.domain import iso9660, qcow2
from image_svc.domain.config_drive import digest_in
from image_svc.domain.disks import CONFIG_DRIVE, DiskType, FoundDisk, is_disk_name
from svckit.errors import DeadlineExceeded
from svckit.files import sync_folder, write_atomically

_MODE = 0o600  # libvirt hands a disk to QEMU's user when it starts the guest


class InstanceFolders:
    """`ports.DiskFiles`."""

    def __init__(self, instances: Path, base_folder: str, look_seconds: float = 30.0) -> None:
        self._instances = str(instances)
        self._base_prefix = f"{base_folder}/"
        self._look_seconds = look_seconds
        # Threads of their own: a look must not queue behind the writes of an import.
        self._lookers = ThreadPoolExecutor(max_workers=4, thread_name_prefix="look")

    async def look(self, uid: str, names: Collection[str]) -> dict[str, FoundDisk]:
        """See ports.DiskFiles."""
        folder = self._folder(uid)
        work = asyncio.get_running_loop().run_in_executor(self._lookers, self._look, folder, names)
        try:
            async with asyncio.timeout(self._look_seconds):
                with storage_errors(folder):
                    return await work
        except TimeoutError:
            raise DeadlineExceeded(
                f"{folder} does not answer within {self._look_seconds:g} s; see to its storage, then retry",
                reason="STORAGE_TIMEOUT",
                metadata={"path": folder},
            ) from None

    async def prepare(self, uid: str, name: str) -> str:
        """See ports.DiskFiles."""
        path = self._temporary(uid, name)
        with storage_errors(path):
            await in_thread(make_folder, self._folder(uid))
            await in_thread(Path(path).unlink, missing_ok=True)
        return path

    async def copy(self, source: str, uid: str, name: str) -> None:
        """See ports.DiskFiles."""
        await copy_file(source, self._temporary(uid, name))

    async def publish(self, uid: str, name: str, pinned: DiskType) -> None:
        """See ports.DiskFiles."""
        path = f"{self._folder(uid)}/{name}"
        with storage_errors(path):
            await in_thread(_publish, self._temporary(uid, name), path, pinned)

    async def write(self, uid: str, name: str, content: bytes) -> None:
        """See ports.DiskFiles."""
        path = f"{self._folder(uid)}/{name}"
        with storage_errors(path):
            await in_thread(_write, path, content)

    async def pin(self, uid: str, name: str, pinned: DiskType) -> None:
        """See ports.DiskFiles."""
        folder = self._folder(uid)
        with storage_errors(folder):
            await in_thread(disk_info.pin, folder, name, pinned)

    async def discard(self, uid: str, name: str) -> None:
        """See ports.DiskFiles."""
        path = self._temporary(uid, name)
        with storage_errors(path):
            await in_thread(Path(path).unlink, missing_ok=True)

    async def remove(self, uid: str, names: Collection[str]) -> list[str]:
        """See ports.DiskFiles."""
        folder = self._folder(uid)
        with storage_errors(folder):
            return await in_thread(_remove, folder, names)

    def close(self) -> None:
        """Let the threads go."""
        self._lookers.shutdown(wait=False, cancel_futures=True)

    def _folder(self, uid: str) -> str:
        return f"{self._instances}/{uid}"

    def _temporary(self, uid: str, name: str) -> str:
        return f"{self._instances}/{uid}/{_temporary_name(name)}"

    def _look(self, folder: str, names: Collection[str]) -> dict[str, FoundDisk]:
        pins = disk_info.read(folder)
        found = {name: self._look_at(f"{folder}/{name}", name, pins.get(name)) for name in names}
        return {name: disk for name, disk in found.items() if disk is not None}

    def _look_at(self, path: str, name: str, pinned: DiskType | None) -> FoundDisk | None:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            status = os.fstat(descriptor)
            header, digest = None, ""
            if not stat.S_ISREG(status.st_mode):
                pass  # judged as what it is: a disk without a header
            elif name == CONFIG_DRIVE:
                digest = digest_in(os.pread(descriptor, iso9660.LENGTH, iso9660.OFFSET), status.st_size)
            elif pinned is not DiskType.RAW:
                header = qcow2.parse(os.pread(descriptor, qcow2.HEAD_BYTES, 0))
        finally:
            os.close(descriptor)
        return FoundDisk(
            path=path,
            file_bytes=status.st_size,
            allocated_bytes=status.st_blocks * 512,
            pinned=pinned,
            header=header,
            has_backing=header is not None and self._use_backing(header.backing_file),
            content_digest=digest,
        )

    def _use_backing(self, path: str) -> bool:
        """Whether it is there; its time of use is now. A path outside `_base` is not even looked at."""
        return path.startswith(self._base_prefix) and mark_used(path)


def _publish(temporary: str, path: str, pinned: DiskType) -> None:
    descriptor = os.open(temporary, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fchmod(descriptor, _MODE)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    folder, _, name = path.rpartition("/")
    disk_info.pin(folder, name, pinned)  # before the disk is there: it is never there unpinned
    Path(temporary).replace(path)
    sync_folder(Path(folder))


def _write(path: str, content: bytes) -> None:
    folder, _, name = path.rpartition("/")
    make_folder(folder)
    disk_info.pin(folder, name, DiskType.RAW)
    write_atomically(Path(path), content, mode=_MODE)


def _remove(folder: str, names: Collection[str]) -> list[str]:
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return []
    try:
        ours = [name for name in _listed(descriptor) if not names or _final_name(name) in names]
        for name in ours:
            os.unlink(name, dir_fd=descriptor)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    disk_info.unpin(folder, names)
    with contextlib.suppress(OSError):  # not empty: others keep their files here
        Path(folder).rmdir()
    return [name for name in ours if is_disk_name(name)]


def _listed(descriptor: int) -> list[str]:
    """The disks of a folder, and what is left of ones that were being made."""
    with os.scandir(descriptor) as entries:
        return sorted(entry.name for entry in entries if is_disk_name(_final_name(entry.name)))


def _temporary_name(name: str) -> str:
    return f".{name}.new"


def _final_name(name: str) -> str:
    return name.removeprefix(".").removesuffix(".new") if name.startswith(".") else name
