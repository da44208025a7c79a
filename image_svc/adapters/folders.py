"""Folders that QEMU's user has to pass through."""

from __future__ import annotations

import os
from pathlib import Path

_PASSABLE = 0o711


def make_folder(path: str) -> None:
    """Make it and its parents; what is made lets others pass through and not look around, what was there stays."""
    folder = Path(path)
    missing = [parent for parent in (folder, *folder.parents) if not parent.is_dir()]
    for parent in reversed(missing):
        parent.mkdir(exist_ok=True)
        os.chmod(parent, _PASSABLE)  # noqa: PTH101  (mkdir's own mode is subject to the umask)
