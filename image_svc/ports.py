"""What the use cases need from outside. Every wait in here has a deadline of its own; errors are svckit's."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol

from image_svc.domain.acceptance import Inspection, QemuInfo
from image_svc.domain.base_names import Template
from image_svc.domain.disks import DiskType, FoundDisk
from image_svc.domain.images import Image
from svckit.listing import Comparison


class Catalogue(Protocol):
    """The images that are in."""

    async def add(self, image: Image) -> None:
        """:raise AlreadyExists: IMAGE_ALREADY_EXISTS; also when the UUID belonged to other content that was removed."""

    async def find(self, uid: str) -> Image | None:
        """None when it is not there or was removed."""

    async def list(self, *, limit: int, after: tuple[datetime, str] | None, where: Sequence[Comparison]) -> list[Image]:
        """Oldest first; `after` is `(create_time, uid)` of the last one seen."""

    async def remove(self, uid: str) -> bool:
        """Whether it was there. Its UUID stays bound to its content."""


class Upload(Protocol):
    """A file of the catalogue that is being written. Nothing of it is visible before `publish`."""

    @property
    def path(self) -> str: ...
    @property
    def size_bytes(self) -> int: ...
    @property
    def sha256(self) -> str:
        """Of what was written so far, hex."""

    async def write(self, chunk: bytes) -> None:
        """:raise ResourceExhausted: NO_SPACE."""

    async def seal(self) -> None:
        """Make what was written durable."""

    async def publish(self) -> None:
        """Make it the image's file."""


class ImageFiles(Protocol):
    """The files of the catalogue."""

    def path(self, uid: str) -> str: ...

    def begin(self, uid: str) -> AbstractAsyncContextManager[Upload]:
        """Leaving it takes back what was not published. :raise Aborted: another process is importing this UUID."""

    async def size_bytes(self, uid: str) -> int | None:
        """None when there is no file."""

    async def remove(self, uid: str) -> None: ...

    async def leftovers(self) -> list[str]:
        """UUIDs of published files that nobody is at work on; removes parts that a crash left."""


class SourceStream(Protocol):
    """A source that was opened."""

    @property
    def total_bytes(self) -> int:
        """0 when not known."""

    def chunks(self) -> AsyncIterator[bytes]:
        """:raise FailedPrecondition: IMAGE_SOURCE_UNREADABLE, also when it ends early."""


class Sources(Protocol):
    """Where images come from."""

    def open(self, source: str) -> AbstractAsyncContextManager[SourceStream]:
        """:raise FailedPrecondition: IMAGE_SOURCE_UNREADABLE."""


class Inspector(Protocol):
    """Looks into a file nobody trusts, without any qemu tool."""

    async def inspect(self, path: str) -> Inspection:
        """:raise FailedPrecondition: IMAGE_UNACCEPTABLE, it cannot be read as anything."""


class DiskTools(Protocol):
    """qemu-img. Formats are always named, never guessed."""

    async def info(self, path: str, qemu_format: str) -> QemuInfo:
        """:raise FailedPrecondition: IMAGE_UNACCEPTABLE, qemu-img cannot read it."""

    async def check(self, path: str) -> None:
        """Of a qcow2. :raise FailedPrecondition: IMAGE_UNACCEPTABLE, its tables are broken or point past its end."""

    async def convert_to_raw(self, source: str, qemu_format: str, target: str) -> None:
        """:raise ResourceExhausted: NO_SPACE."""

    async def create_overlay(self, path: str, backing: str, size_bytes: int) -> None:
        """A qcow2 over a raw backing file."""

    async def grow(self, path: str, size_bytes: int) -> None:
        """:raise FailedPrecondition: DISK_UNSOUND, it is in use or cannot be grown."""


class TemplateMaker(Protocol):
    """mkfs and mkswap."""

    async def make_template(self, path: str, template: Template) -> None:
        """A sparse file with an empty file system or swap area. :raise FailedPrecondition: TOOL_MISSING."""


class BaseFiles(Protocol):
    """`instances_path/_base`."""

    folder: str

    async def exists(self, name: str) -> bool:
        """And if so, mark it as used now."""

    async def prepare(self, temporary: str) -> str:
        """The path to make a new file at; an older one of this name is gone."""

    async def copy(self, source: str, temporary: str) -> str:
        """A copy of `source` under a temporary name; its path."""

    async def publish(self, temporary: str, name: str) -> None:
        """Durable, readable for QEMU, and then there, in one step."""

    async def discard(self, temporary: str) -> None: ...

    async def leftovers(self) -> list[str]:
        """Temporary names that are there."""


class DiskFiles(Protocol):
    """`instances_path/<uid>`."""

    async def look(self, uid: str, names: Collection[str]) -> dict[str, FoundDisk]:
        """What is there of these; marks backing files as used now. One hop to a thread, no program is run."""

    async def prepare(self, uid: str, name: str) -> str:
        """The path to make a disk at; the instance's folder is there."""

    async def copy(self, source: str, uid: str, name: str) -> None:
        """A copy of `source` at the prepared path."""

    async def publish(self, uid: str, name: str, pinned: DiskType) -> None:
        """Durable, pinned in disk.info, and then there, in one step."""

    async def write(self, uid: str, name: str, content: bytes) -> None:
        """A raw disk with this content, replacing an older one in one step."""

    async def pin(self, uid: str, name: str, pinned: DiskType) -> None:
        """Write down how a disk that is there is to be read."""

    async def discard(self, uid: str, name: str) -> None:
        """Remove what `prepare` began."""

    async def remove(self, uid: str, names: Collection[str]) -> list[str]:
        """Remove these disks, or all of ours when empty, and the folder if nothing is left; what was there."""


class Locks(Protocol):
    """Locks between processes, also over shared storage."""

    def hold(self, name: str) -> AbstractAsyncContextManager[None]:
        """:raise DeadlineExceeded: LOCK_TIMEOUT."""


class DriveBuilder(Protocol):
    """Builds config drives."""

    async def build(self, files: Mapping[str, bytes], digest: str) -> bytes:
        """An iso9660 file, label config-2, with the digest in its volume descriptor."""
