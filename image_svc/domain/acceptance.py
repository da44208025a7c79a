"""Which images are accepted: what the inspector and qemu-img say has to agree with each other and with our rules.

Nova: virt/images.py since CVE-2024-32498. qemu-img sees a file only after `format_of` has let it pass.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from image_svc.domain import iso9660, raw_disk
from image_svc.domain.images import DiskFormat
from image_svc.domain.refusals import image_unacceptable

HEAD_BYTES = iso9660.OFFSET + iso9660.LENGTH
"""How much of a file's beginning the rules want to see."""

_FORMAT_OF_CONTENT = {"qcow2": DiskFormat.QCOW2, "iso": DiskFormat.ISO, "gpt": DiskFormat.RAW, "raw": DiskFormat.RAW}


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Sizes in bytes above which an image is refused."""

    file_bytes: int
    virtual_bytes: int


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """What is known of a file without any qemu tool: the formats its content matches, and what is wrong with each."""

    file_bytes: int
    head: bytes
    contents: Sequence[str]
    violations: Mapping[str, Sequence[str]] = field(default_factory=dict)
    virtual_sizes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class QemuInfo:
    """What `qemu-img info` says of a file whose format it was told."""

    format: str
    virtual_size_bytes: int
    backing_file: str = ""
    data_file: str = ""
    is_encrypted: bool = False


def format_of(inspection: Inspection, declared: DiskFormat | None) -> DiskFormat:
    """The format of an untrusted file.

    :raise FailedPrecondition: IMAGE_UNACCEPTABLE, it is unsafe, ambiguous, of no accepted format, or not as declared.
    """
    if inspection.file_bytes == 0:
        raise image_unacceptable("the file is empty")
    content = _single_content(inspection.contents)
    found = _FORMAT_OF_CONTENT.get(content)
    if found is None:
        raise image_unacceptable(f"its content is {content}; convert it with: qemu-img convert -O qcow2 OLD NEW")
    if declared is not None and declared is not found:
        raise image_unacceptable(f"it was declared {declared.value} and its content is {found.value}")
    if content == "raw" and declared is None and not raw_disk.has_boot_sector(inspection.head):
        raise image_unacceptable(
            "its content is not recognised; if it really is a plain disk, say so with disk_format raw"
        )
    if problems := inspection.violations.get(content):
        raise image_unacceptable("; ".join(problems))
    _check_whole(inspection, found)
    return found


def check_agreement(inspection: Inspection, declared: DiskFormat, info: QemuInfo, limits: Limits) -> int:
    """The size in bytes that a guest will see, once inspector and qemu-img agree on what the file is.

    :raise FailedPrecondition: IMAGE_UNACCEPTABLE.
    """
    if info.format != qemu_format(declared):
        raise image_unacceptable(f"qemu-img takes it for {info.format}, inspection for {declared.value}")
    if info.backing_file or info.data_file:
        raise image_unacceptable("it refers to another file")
    if info.is_encrypted:
        raise image_unacceptable("it is encrypted")
    expected = _expected_size(inspection, declared)
    if info.virtual_size_bytes != expected:
        raise image_unacceptable(f"qemu-img sees {info.virtual_size_bytes} bytes, inspection {expected}")
    if not 0 < expected <= limits.virtual_bytes:
        raise image_unacceptable(
            f"its virtual size is {expected} bytes; allowed are 1 to {limits.virtual_bytes}"
            " (PROTOSTAR_IMAGE_MAX_VIRTUAL_BYTES)"
        )
    return expected


def check_base(inspection: Inspection, image_format: DiskFormat) -> None:
    """Refuse a base file whose content QEMU could take for anything but a plain disk.

    :raise FailedPrecondition: IMAGE_UNACCEPTABLE.
    """
    allowed = {"iso", "gpt"} if image_format is DiskFormat.ISO else {"raw", "gpt", "iso"}
    if not set(inspection.contents) <= allowed:
        raise image_unacceptable(f"inside it is another image ({', '.join(sorted(inspection.contents))})")


def qemu_format(disk_format: DiskFormat) -> str:
    """The format's name for qemu tools, which read an iso as raw."""
    return "qcow2" if disk_format is DiskFormat.QCOW2 else "raw"


def _single_content(contents: Sequence[str]) -> str:
    found = set(contents)
    if found == {"iso", "gpt"}:
        return "iso"  # an iso that also boots from a stick (Nova allows this pair only)
    if len(found) != 1:
        raise image_unacceptable(f"its content matches several formats at once: {', '.join(sorted(found))}")
    return found.pop()


def _check_whole(inspection: Inspection, found: DiskFormat) -> None:
    claimed = _claimed_bytes(inspection, found)
    if inspection.file_bytes < claimed:
        raise image_unacceptable(f"it is truncated: {inspection.file_bytes} bytes of at least {claimed}")


def _claimed_bytes(inspection: Inspection, found: DiskFormat) -> int:
    if found is DiskFormat.RAW:
        return raw_disk.claimed_bytes(inspection.head)
    if found is DiskFormat.ISO:
        volume = iso9660.parse(inspection.head[iso9660.OFFSET :])
        return volume.size_bytes if volume else 0
    return 0  # of qcow2 `qemu-img check` knows


def _expected_size(inspection: Inspection, declared: DiskFormat) -> int:
    if declared is DiskFormat.QCOW2:
        return inspection.virtual_sizes["qcow2"]
    sector = raw_disk.SECTOR
    return (inspection.file_bytes + sector - 1) // sector * sector
