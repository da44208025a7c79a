"""`disk.info`: how each disk of an instance is to be read (Nova's name and form: one line of JSON, path to format).

Without it a guest could write a qcow2 header into its raw disk and have the host open any file as that disk's backing
(Nova: bug 1221190). Blocks.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path

from image_svc.domain.disks import DiskType
from svckit.files import write_atomically

_NAME = "disk.info"


def read(folder: str) -> dict[str, DiskType]:
    """By file name. What cannot be read pins nothing: its disks are then judged as ones that lost their pin."""
    try:
        content = json.loads(Path(folder, _NAME).read_bytes())
        return {path.rpartition("/")[2]: DiskType(kind) for path, kind in content.items()}
    except (FileNotFoundError, NotADirectoryError, ValueError, AttributeError):
        return {}


def pin(folder: str, name: str, kind: DiskType) -> None:
    """Durable when it returns."""
    pins = read(folder)
    if pins.get(name) is not kind:
        _write(folder, pins | {name: kind})


def unpin(folder: str, names: Collection[str]) -> None:
    """Forget these, or all when empty; without any left the file goes."""
    pins = read(folder) if names else {}
    _write(folder, {name: kind for name, kind in pins.items() if name not in names})


def _write(folder: str, pins: Mapping[str, DiskType]) -> None:
    if not pins:
        Path(folder, _NAME).unlink(missing_ok=True)
        return
    content = json.dumps({f"{folder}/{name}": kind.value for name, kind in pins.items()})
    write_atomically(Path(folder, _NAME), content.encode(), mode=0o644)
