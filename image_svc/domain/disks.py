"""The disks of an instance: which are wanted, what is there, and the facts that are told about them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum, StrEnum

from image_svc.domain import qcow2
from image_svc.domain.base_names import GIB, MIB
from svckit.errors import InvalidArgument
from svckit.names import is_uuid

SECTOR = 512
_OURS = re.compile(r"disk(\.(local|eph[0-9]{1,3}|swap|config))?")


class DiskRole(Enum):
    """What a disk is for."""

    ROOT = "root"
    EPHEMERAL = "ephemeral"
    SWAP = "swap"
    CONFIG = "config"


class DiskType(StrEnum):
    """How QEMU is to read a disk; pinned when it is made and never guessed from content (Nova: bug 1221190)."""

    QCOW2 = "qcow2"
    RAW = "raw"


_NAMES = {
    DiskRole.ROOT: re.compile(r"disk"),
    DiskRole.EPHEMERAL: re.compile(r"disk\.(local|eph[0-9]{1,3})"),
    DiskRole.SWAP: re.compile(r"disk\.swap"),
    DiskRole.CONFIG: re.compile(r"disk\.config"),
}
_UNITS = {DiskRole.ROOT: (SECTOR, "sectors of 512"), DiskRole.EPHEMERAL: (GIB, "GiB"), DiskRole.SWAP: (MIB, "MiB")}
CONFIG_DRIVE = "disk.config"


@dataclass(frozen=True, kw_only=True)
class WantedDisk:
    """A disk that is to be there; size 0 of a root disk means the image's own."""

    name: str
    role: DiskRole
    size_bytes: int = 0


@dataclass(frozen=True, kw_only=True)
class InstanceDisks:
    """All disks that one instance is to have, in guest order."""

    uid: str
    image: str
    disks: Sequence[WantedDisk] = field(default_factory=tuple)
    os_type: str = ""


@dataclass(frozen=True, kw_only=True)
class FoundDisk:
    """What was seen of a file: sizes, its qcow2 header if it may have one, and whether what backs it is there."""

    path: str
    file_bytes: int
    allocated_bytes: int
    pinned: DiskType | None = None
    header: qcow2.Qcow2Header | None = None
    has_backing: bool = False
    content_digest: str = ""


@dataclass(frozen=True, kw_only=True)
class DiskFacts:
    """What is on disk (nova-behaviour, section 4.1). Sizes in bytes."""

    name: str
    path: str
    type: DiskType
    virtual_size_bytes: int
    disk_size_bytes: int
    backing_file: str = ""
    created: bool = False
    content_digest: str = ""

    @property
    def over_committed_size_bytes(self) -> int:
        """What the guest may still write before the host has no more to promise: max(0, virtual - allocated)."""
        return max(0, self.virtual_size_bytes - self.disk_size_bytes)


def is_disk_name(name: str) -> bool:
    """Whether a file of this name, in an instance's folder, is one of the disks made here."""
    return _OURS.fullmatch(name) is not None


def check_uid(uid: str, field_name: str = "uid") -> None:
    """:raise InvalidArgument: it is not a UUID; so that no id can be a path."""
    if not is_uuid(uid):
        raise InvalidArgument.field(field_name, f"must be a UUID in lower case, got {uid!r}")


def check_wanted(wanted: InstanceDisks) -> None:
    """Refuse what cannot be meant.

    :raise InvalidArgument: with the first bad field.
    """
    check_uid(wanted.uid)
    if wanted.image or any(disk.role is DiskRole.ROOT for disk in wanted.disks):
        check_uid(wanted.image, "image")
    for index, disk in enumerate(wanted.disks):
        _check_disk(disk, f"disks[{index}]")
    names = [disk.name for disk in wanted.disks]
    if len(set(names)) != len(names):
        raise InvalidArgument.field("disks", f"have a name twice: {', '.join(names)}")


def _check_disk(disk: WantedDisk, where: str) -> None:
    pattern = _NAMES[disk.role]
    if not pattern.fullmatch(disk.name):
        raise InvalidArgument.field(
            f"{where}.name", f"must match {pattern.pattern} for {disk.role.value}, got {disk.name!r}"
        )
    if disk.role is DiskRole.CONFIG:
        return
    unit, unit_name = _UNITS[disk.role]
    if disk.size_bytes % unit or disk.size_bytes < 0 or (disk.size_bytes == 0 and disk.role is not DiskRole.ROOT):
        raise InvalidArgument.field(f"{where}.size_bytes", f"must be whole {unit_name}, got {disk.size_bytes}")


def facts_of(disk: WantedDisk, found: FoundDisk, *, created: bool = False) -> DiskFacts:
    """The facts of a disk that `plan.judge` has let pass."""
    header = found.header if type_of(disk, found) is DiskType.QCOW2 else None
    return DiskFacts(
        name=disk.name,
        path=found.path,
        type=DiskType.QCOW2 if header else DiskType.RAW,
        virtual_size_bytes=header.virtual_size_bytes if header else found.file_bytes,
        disk_size_bytes=found.allocated_bytes,
        backing_file=header.backing_file.rpartition("/")[2] if header else "",
        created=created,
        content_digest=found.content_digest,
    )


def type_of(disk: WantedDisk, found: FoundDisk) -> DiskType | None:
    """How a disk is to be read: by its role, a root disk as it was pinned; None when the pin of a root disk is lost."""
    if disk.role is DiskRole.CONFIG:
        return DiskType.RAW
    if disk.role is DiskRole.ROOT:
        return found.pinned
    return DiskType.QCOW2
