"""What a config drive may hold, and how its digest is read back without reading the drive."""

from __future__ import annotations

import re
from collections.abc import Collection

from image_svc.domain import iso9660
from image_svc.domain.images import is_sha256
from svckit.errors import InvalidArgument

# Joliet allows 64 characters a name; iso9660 allows eight levels of folders, of which one is left to spare.
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
_DEEPEST = 7


def check_files(paths: Collection[str]) -> None:
    """Refuse paths that are not plain and relative, or that are a file and a folder at once.

    :raise InvalidArgument: with the first bad path.
    """
    for path in sorted(paths):
        parts = path.split("/")
        if len(parts) > _DEEPEST or not all(_PART.fullmatch(part) for part in parts):
            raise InvalidArgument.field("files", f"{path!r} is not a plain relative path of at most {_DEEPEST} parts")
    for folder in folders(paths):
        if folder in paths:
            raise InvalidArgument.field("files", f"{folder!r} is a file and a folder")


def folders(paths: Collection[str]) -> list[str]:
    """Every folder that these files need, parents first."""
    needed = {
        "/".join(parts[:depth]) for parts in (path.split("/") for path in paths) for depth in range(1, len(parts))
    }
    return sorted(needed, key=lambda folder: (folder.count("/"), folder))


def digest_in(descriptor: bytes, file_bytes: int) -> str:
    """The digest a drive was built with, from its volume descriptor; "" when it is not a whole drive of ours."""
    volume = iso9660.parse(descriptor)
    if volume is None or volume.label != iso9660.CONFIG_DRIVE_LABEL or file_bytes < volume.size_bytes:
        return ""
    return volume.application if is_sha256(volume.application) else ""
