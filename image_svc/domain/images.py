"""Images of the catalogue."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from svckit.errors import InvalidArgument
from svckit.names import is_uuid

_SHA256 = re.compile(r"[0-9a-f]{64}")


class DiskFormat(StrEnum):
    """The formats that are accepted."""

    QCOW2 = "qcow2"
    RAW = "raw"
    ISO = "iso"


@dataclass(frozen=True, kw_only=True)
class Image:
    """An image that is in the catalogue. Nothing of it ever changes, so a UUID stands for a content."""

    uid: str
    display_name: str
    disk_format: DiskFormat
    size_bytes: int
    virtual_size_bytes: int
    sha256: str
    source: str
    create_time: datetime
    min_disk_gib: int = 0
    min_memory_mib: int = 0
    properties: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ImportOrder:
    """What is to be brought in; `disk_format` None and `sha256` "" leave them to be found out."""

    uid: str
    display_name: str
    source: str
    disk_format: DiskFormat | None = None
    sha256: str = ""
    min_disk_gib: int = 0
    min_memory_mib: int = 0
    properties: Mapping[str, str] = field(default_factory=dict)


def check_order(order: ImportOrder) -> None:
    """Refuse what is wrong whatever the source holds.

    :raise InvalidArgument: a field is bad.
    """
    if not is_uuid(order.uid):
        raise InvalidArgument.field("uid", f"must be a UUID in lower case, got {order.uid!r}")
    if not 1 <= len(order.display_name) <= 255:
        raise InvalidArgument.field("image.display_name", "must have 1 to 255 characters")
    if not order.source.startswith(("/", "http://", "https://")):
        raise InvalidArgument.field(
            "source", f"must be an absolute path or an http or https address, got {order.source!r}"
        )
    if order.sha256 and not is_sha256(order.sha256):
        raise InvalidArgument.field("sha256", "must be 64 hex digits in lower case or empty")
    if order.min_disk_gib < 0 or order.min_memory_mib < 0:
        raise InvalidArgument.field("image.min_disk_gib", "and min_memory_mib must not be negative")


def is_sha256(text: str) -> bool:
    """Whether it is a SHA-256 in hex, lower case."""
    return _SHA256.fullmatch(text) is not None


def parse_format(text: str, field_name: str) -> DiskFormat | None:
    """The format of this name, None for "".

    :raise InvalidArgument: it is none that is accepted.
    """
    try:
        return DiskFormat(text) if text else None
    except ValueError:
        raise InvalidArgument.field(
            field_name, f"must be qcow2, raw or iso, got {text!r}; convert with: qemu-img convert -O qcow2 OLD NEW"
        ) from None
