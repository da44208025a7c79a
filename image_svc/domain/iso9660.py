"""The primary volume descriptor of an iso9660 file: its size, its label, and where a config drive keeps its digest."""

from __future__ import annotations

import struct
from dataclasses import dataclass

OFFSET = 32768
LENGTH = 2048
CONFIG_DRIVE_LABEL = "config-2"
_IDENT = b"\x01CD001\x01"
_LABEL = slice(40, 72)
_APPLICATION = slice(574, 702)


@dataclass(frozen=True, kw_only=True)
class Volume:
    """What a descriptor says."""

    label: str
    size_bytes: int
    application: str


def parse(descriptor: bytes) -> Volume | None:
    """The volume that the 2,048 bytes at `OFFSET` describe, None if they describe none."""
    if len(descriptor) < LENGTH or not descriptor.startswith(_IDENT):
        return None
    (blocks,) = struct.unpack_from("<I", descriptor, 80)
    (block_bytes,) = struct.unpack_from("<H", descriptor, 128)
    return Volume(
        label=_text(descriptor[_LABEL]), size_bytes=blocks * block_bytes, application=_text(descriptor[_APPLICATION])
    )


def _text(field: bytes) -> str:
    return field.decode("ascii", errors="replace").rstrip(" \x00")
