"""Settings of the image service, beside those that all services have."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta

from svckit.config import Settings

_GIB = 1024**3
_CPUS = max(2, os.cpu_count() or 2)

Seconds = Annotated[float, Meta(gt=0)]


class ImageSettings(Settings, frozen=True, kw_only=True):
    """Read from the environment as PROTOSTAR_<NAME>."""

    images_path: Annotated[Path, Meta(description="files of the catalogue; default DATA_DIR/images")] = Path()
    image_database_url: Annotated[str, Meta(description="default SQLite in DATA_DIR/image.sqlite3")] = ""
    image_source_roots: Annotated[str, Meta(description="folders to import from, separated by colons")] = "/"
    image_max_bytes: Annotated[int, Meta(gt=0, description="largest file that is imported")] = 128 * _GIB
    image_max_virtual_bytes: Annotated[int, Meta(gt=0, description="largest disk a guest may see")] = 2048 * _GIB
    image_connect_seconds: Annotated[Seconds, Meta(description="to reach an http server")] = 10.0
    image_read_seconds: Annotated[Seconds, Meta(description="without a byte from an http server")] = 30.0
    image_fetch_seconds: Annotated[Seconds, Meta(description="for a whole download")] = 6 * 3600.0
    image_max_redirects: Annotated[int, Meta(ge=0, description="that a download follows")] = 5
    image_tool_seconds: Annotated[Seconds, Meta(description="for a short run of qemu-img or mkfs")] = 60.0
    image_convert_seconds: Annotated[Seconds, Meta(description="for converting a whole image")] = 3600.0
    image_lock_seconds: Annotated[Seconds, Meta(description="to wait for another process at a base")] = 3600.0
    image_tool_memory_bytes: Annotated[int, Meta(gt=0, description="address space of a tool (Nova)")] = 2 * _GIB
    image_tool_cpu_seconds: Annotated[int, Meta(gt=0, description="CPU of a short run (Nova)")] = 30
    image_downloads: Annotated[int, Meta(gt=0, description="imports at once")] = 8
    image_heavy_operations: Annotated[int, Meta(gt=0, description="conversions and inspections at once")] = _CPUS
    image_light_operations: Annotated[int, Meta(gt=0, description="short runs of qemu-img at once")] = 4 * _CPUS

    def derived(self) -> dict[str, Any]:
        return {
            **super().derived(),
            "images_path": self.data_dir / "images",
            "image_database_url": self.sqlite_url("image"),
        }

    @property
    def source_roots(self) -> tuple[Path, ...]:
        """See `image_source_roots`."""
        return tuple(Path(root) for root in self.image_source_roots.split(":"))
