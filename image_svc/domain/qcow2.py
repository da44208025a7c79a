"""The header of a qcow2 file, read from its first bytes (QEMU: docs/interop/qcow2.txt).

Reading it here is what lets a start look at its disks without running `qemu-img info`, which costs Nova 80 ms a disk.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

HEAD_BYTES = 8192
"""How much of a file `parse` needs: QEMU puts backing file name and extensions right behind the header."""

_MAGIC = b"QFI\xfb"
_FIXED = struct.Struct(">4sIQIIQI")
_V3 = struct.Struct(">QQQII")
_V2_BYTES = 72
_BACKING_FORMAT = 0xE2792ACA
_CORRUPT, _DATA_FILE = 1 << 1, 1 << 2
_KNOWN = 0b11111
_LONGEST_NAME = 1023


@dataclass(frozen=True, kw_only=True)
class Qcow2Header:
    """What a header says of the disk."""

    virtual_size_bytes: int
    backing_file: str
    backing_format: str
    is_encrypted: bool
    is_corrupt: bool
    has_data_file: bool
    has_unknown_features: bool


def parse(head: bytes) -> Qcow2Header | None:
    """The header at the beginning of `head`; None if this is no qcow2 header, or one that does not hold together."""
    try:
        return _parse(head)
    except (struct.error, UnicodeDecodeError, _Malformed):
        return None


class _Malformed(Exception):
    pass


def _parse(head: bytes) -> Qcow2Header:
    magic, version, name_offset, name_length, _cluster_bits, size, encryption = _FIXED.unpack_from(head)
    if magic != _MAGIC or version not in (2, 3):
        raise _Malformed
    features, length = 0, _V2_BYTES
    if version == 3:
        features, _, _, _, length = _V3.unpack_from(head, _V2_BYTES)
    return Qcow2Header(
        virtual_size_bytes=size,
        backing_file=_text(head, name_offset, name_length) if name_offset else "",
        backing_format=_backing_format(head, length, name_offset or len(head)),
        is_encrypted=encryption != 0,
        is_corrupt=bool(features & _CORRUPT),
        has_data_file=bool(features & _DATA_FILE),
        has_unknown_features=bool(features & ~_KNOWN),
    )


def _backing_format(head: bytes, position: int, end: int) -> str:
    """Walk the header extensions to the one that names the backing file's format."""
    while position + 8 <= end:
        kind, length = struct.unpack_from(">II", head, position)
        if kind == 0:
            break
        if kind == _BACKING_FORMAT:
            return _text(head, position + 8, length)
        position += 8 + (length + 7) // 8 * 8
    return ""


def _text(head: bytes, offset: int, length: int) -> str:
    if length > _LONGEST_NAME or offset + length > len(head):
        raise _Malformed
    return head[offset : offset + length].decode()
