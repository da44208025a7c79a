"""Names of what disks are backed by, under instances_path/_base (Nova: imagebackend.py, imagecache.py)."""

from __future__ import annotations

import hashlib
import re
import uuid
from dataclasses import dataclass

GIB = 1024**3
MIB = 1024**2
# Nova: default_ephemeral_format by os_type; anything else is vfat.
_FILE_SYSTEM_OF = {"linux": "ext4", "windows": "ntfs"}
_FILE_SYSTEMS = ("ext4", "vfat", "ntfs")
_EPHEMERAL = re.compile(r"ephemeral_([1-9][0-9]{0,6})_([0-9a-f]{7})")
_SWAP = re.compile(r"swap_([1-9][0-9]{0,9})")
_UUIDS = uuid.UUID("6d1f3f0e-6a0c-5b0e-9d6e-8f3a3d1f5c11")


@dataclass(frozen=True, kw_only=True)
class Template:
    """An empty file system or swap area that many overlays share."""

    name: str
    file_system: str  # "ext4", "vfat", "ntfs" or "swap"
    size_bytes: int

    @property
    def volume_uuid(self) -> str:
        """Fixed by the name, so that a template that was lost is made again as it was: overlays still fit on it."""
        return str(uuid.uuid5(_UUIDS, self.name))


def base_name(image: str) -> str:
    """The base file of an image: SHA-1 of its id, not of its content (Nova's rule)."""
    return hashlib.sha1(image.encode(), usedforsecurity=False).hexdigest()


def file_system_for(os_type: str) -> str:
    """The file system of an ephemeral disk: linux ext4, windows ntfs, other vfat (Nova's rule)."""
    return _FILE_SYSTEM_OF.get(os_type, "vfat")


def ephemeral_template(gib: int, file_system: str) -> Template:
    """`ephemeral_<GiB>_<first 7 of md5(file system)>`."""
    return Template(name=f"ephemeral_{gib}_{_mark(file_system)}", file_system=file_system, size_bytes=gib * GIB)


def swap_template(mib: int) -> Template:
    """`swap_<MiB>`."""
    return Template(name=f"swap_{mib}", file_system="swap", size_bytes=mib * MIB)


def template_named(name: str) -> Template | None:
    """The template that a backing file's name tells of, None if we never make one of that name."""
    if found := _SWAP.fullmatch(name):
        return swap_template(int(found[1]))
    if found := _EPHEMERAL.fullmatch(name):
        for file_system in _FILE_SYSTEMS:
            if _mark(file_system) == found[2]:
                return ephemeral_template(int(found[1]), file_system)
    return None


def _mark(file_system: str) -> str:
    return hashlib.md5(file_system.encode(), usedforsecurity=False).hexdigest()[:7]
