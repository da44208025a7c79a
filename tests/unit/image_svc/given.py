"""First sectors, as disks and iso files have them."""

from __future__ import annotations

import struct

from image_svc.domain import iso9660


def mbr(*partitions: tuple[int, int, int], gpt_last_sector: int = 0) -> bytes:
    """A partition table of (type, first sector, sectors), and a GPT header if it has a last sector."""
    entries = b"".join(struct.pack("<B3xB3xII", 0, kind, start, length) for kind, start, length in partitions)
    sector = bytes(446) + entries.ljust(64, b"\0") + b"\x55\xaa"
    gpt = b"EFI PART" + bytes(24) + struct.pack("<Q", gpt_last_sector)
    return sector + (gpt if gpt_last_sector else b"").ljust(512, b"\0")


def descriptor(blocks: int, label: str = "config-2", application: str = "") -> bytes:
    content = bytearray(iso9660.LENGTH)
    content[0:7] = b"\x01CD001\x01"
    content[40:72] = label.ljust(32).encode()
    content[80:84] = struct.pack("<I", blocks)
    content[128:130] = struct.pack("<H", 2048)
    content[574:702] = application.ljust(128).encode()
    return bytes(content)
