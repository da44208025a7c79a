"""What the partition table of a raw disk says about the disk's size: a copy that broke off is shorter than that."""

from __future__ import annotations

import struct

SECTOR = 512
_ENTRIES_AT = 446
_ENTRY = struct.Struct("<B3xB3xII")
_GPT_PROTECTIVE = 0xEE
_BOOT_SIGNATURE = b"\x55\xaa"


def has_boot_sector(head: bytes) -> bool:
    """Whether the first sector ends as boot sectors, partition tables and FAT volumes do."""
    return head[SECTOR - 2 : SECTOR] == _BOOT_SIGNATURE


def claimed_bytes(head: bytes) -> int:
    """Where the last partition, or the second copy of a GPT, ends; 0 when there is no table. Needs two sectors."""
    if not has_boot_sector(head):
        return 0
    entries = [_ENTRY.unpack_from(head, _ENTRIES_AT + 16 * i) for i in range(4)]
    if any(boot not in (0x00, 0x80) for boot, *_ in entries):
        return 0  # code or a FAT volume's text, no table
    if any(kind == _GPT_PROTECTIVE for _, kind, _, _ in entries):
        return _gpt_end(head)
    return max((start + length for _, kind, start, length in entries if kind), default=0) * SECTOR


def _gpt_end(head: bytes) -> int:
    header = head[SECTOR : 2 * SECTOR]
    if header[:8] != b"EFI PART" or len(header) < 40:
        return 0
    (last_sector,) = struct.unpack_from("<Q", header, 32)
    return (int(last_sector) + 1) * SECTOR
