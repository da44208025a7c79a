"""Empty file systems and swap areas.

Their UUIDs are fixed by their names: overlays refer to blocks of a template, so one that was lost must come back the
same.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from image_svc.adapters.os_errors import storage_errors
from image_svc.adapters.threads import in_thread
from image_svc.domain.base_names import Template
from svckit.process import Limits, run

_LABEL = "ephemeral0"  # Nova's


class Mkfs:
    """`ports.TemplateMaker`."""

    def __init__(self, *, seconds: float, limits: Limits) -> None:
        self._seconds = seconds
        self._limits = limits

    async def make_template(self, path: str, template: Template) -> None:
        """See ports.TemplateMaker."""
        with storage_errors(path):
            await in_thread(_make_sparse, path, template.size_bytes)
        tool, *arguments = _command(template)
        await run([_find(tool), *arguments, path], seconds=self._seconds, limits=self._limits)


def _command(template: Template) -> list[str]:
    uuid = template.volume_uuid
    if template.file_system == "swap":
        return ["mkswap", "-U", uuid]
    if template.file_system == "ext4":
        return ["mkfs.ext4", "-q", "-F", "-L", _LABEL, "-U", uuid, "-E", f"hash_seed={uuid}"]
    if template.file_system == "vfat":
        return ["mkfs.vfat", "--invariant", "-n", _LABEL.upper(), "-i", uuid[:8]]
    return ["mkfs.ntfs", "-q", "-Q", "-F", "-L", _LABEL]


def _find(tool: str) -> str:
    """Where it is; the PATH of an ordinary user lacks the folders of such tools."""
    return shutil.which(tool, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin") or tool


def _make_sparse(path: str, size: int) -> None:
    with Path(path).open("xb") as file:
        file.truncate(size)
