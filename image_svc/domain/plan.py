"""What has to be done so that the wanted disks are there and sound. A disk that is there is never rewritten."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from image_svc.domain.base_names import (
    GIB,
    MIB,
    Template,
    base_name,
    ephemeral_template,
    file_system_for,
    swap_template,
    template_named,
)
from image_svc.domain.disks import DiskRole, DiskType, FoundDisk, InstanceDisks, WantedDisk, type_of
from image_svc.domain.qcow2 import Qcow2Header
from image_svc.domain.refusals import disk_unsound


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What one wanted disk needs."""

    disk: WantedDisk
    path: str = ""  # of a disk that is there
    is_missing: bool = False
    pin_is_lost: bool = False
    backing_is_missing: bool = False
    backing: Template | None = None  # None: the image's base
    grow_to: int = 0

    @property
    def is_sound(self) -> bool:
        """Nothing has to be done."""
        return not (self.is_missing or self.pin_is_lost or self.backing_is_missing or self.grow_to)


def judge_all(wanted: InstanceDisks, found: Mapping[str, FoundDisk], base_folder: str) -> list[Verdict]:
    """One verdict a disk, in order; a config drive is only looked at and gets none.

    :raise FailedPrecondition: DISK_UNSOUND, before anything was done about any of them.
    """
    disks = (disk for disk in wanted.disks if disk.role is not DiskRole.CONFIG)
    return [judge(disk, found.get(disk.name), wanted, base_folder) for disk in disks]


def judge(disk: WantedDisk, found: FoundDisk | None, wanted: InstanceDisks, base_folder: str) -> Verdict:
    """What this disk needs.

    :raise FailedPrecondition: DISK_UNSOUND.
    """
    if found is None:
        return Verdict(disk=disk, is_missing=True, backing=_template_for(disk, wanted.os_type))
    kind = type_of(disk, found)
    if kind is None:
        return Verdict(disk=disk, path=found.path, pin_is_lost=True)
    if kind is DiskType.RAW:
        return Verdict(disk=disk, path=found.path)
    header = _sound_header(found)
    backing = _backing_of(disk, found, header, wanted, base_folder)
    return Verdict(
        disk=disk,
        path=found.path,
        backing_is_missing=not found.has_backing,
        backing=backing,
        grow_to=disk.size_bytes if disk.size_bytes > header.virtual_size_bytes else 0,
    )


def missing_backings(verdicts: Sequence[Verdict]) -> tuple[bool, list[Template]]:
    """Whether the image's base has to be there for these verdicts, and which templates."""
    needed = [verdict for verdict in verdicts if verdict.is_missing or verdict.backing_is_missing]
    templates = {verdict.backing.name: verdict.backing for verdict in needed if verdict.backing}
    return any(verdict.backing is None for verdict in needed), list(templates.values())


def _template_for(disk: WantedDisk, os_type: str) -> Template | None:
    if disk.role is DiskRole.EPHEMERAL:
        return ephemeral_template(disk.size_bytes // GIB, file_system_for(os_type))
    if disk.role is DiskRole.SWAP:
        return swap_template(disk.size_bytes // MIB)
    return None


def _sound_header(found: FoundDisk) -> Qcow2Header:
    header, path = found.header, found.path
    if header is None:
        raise disk_unsound(path, "has no readable qcow2 header", "restore it, or remove it to have an empty one made")
    if header.is_corrupt:
        raise disk_unsound(path, "is marked corrupt by QEMU", f"repair it with: qemu-img check -r all {path}")
    if header.has_data_file or header.is_encrypted or header.has_unknown_features:
        raise disk_unsound(path, "has features that no disk made here has", "restore the disk that belongs there")
    if header.backing_format != "raw":
        raise disk_unsound(path, "does not name its backing format raw", _rebase(header.backing_file, path))
    return header


def _backing_of(
    disk: WantedDisk, found: FoundDisk, header: Qcow2Header, wanted: InstanceDisks, base_folder: str
) -> Template | None:
    folder, _, name = header.backing_file.rpartition("/")
    if disk.role is DiskRole.ROOT:
        expected = f"{base_folder}/{base_name(wanted.image)}"
        if header.backing_file != expected:
            raise disk_unsound(
                found.path, f"is backed by {header.backing_file or 'nothing'}", _rebase(expected, found.path)
            )
        return None
    template = template_named(name)
    if folder != base_folder or template is None or (template.file_system == "swap") != (disk.role is DiskRole.SWAP):
        expected = f"{base_folder}/{name or 'TEMPLATE'}"
        raise disk_unsound(
            found.path, f"is backed by {header.backing_file or 'nothing'}", _rebase(expected, found.path)
        )
    return template


def _rebase(backing: str, path: str) -> str:
    return f"if its content belongs on that one, point it there with: qemu-img rebase -u -F raw -b {backing} {path}"
