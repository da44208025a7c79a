"""Settings of the image service, beside those that all services have."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from svckit.config import Settings

_GIB = 1024**3


def _split(value: Any) -> Any:
    return value.split(":") if isinstance(value, str) else value


class ImageSettings(Settings):
    """Read from the environment as PROTOSTAR_<NAME>."""

    images_path: Path = Field(default=Path(), description="files of the catalogue; default DATA_DIR/images")
    image_database_url: str = Field(default="", description="default SQLite in DATA_DIR/image.sqlite3")
    image_source_roots: Annotated[tuple[Path, ...], BeforeValidator(_split)] = Field(
        default=(Path("/"),), description="folders that images may be imported from, separated by colons"
    )
    image_max_bytes: int = Field(default=128 * _GIB, gt=0, description="largest file that is imported")
    image_max_virtual_bytes: int = Field(default=2048 * _GIB, gt=0, description="largest disk a guest may see of one")
    image_connect_seconds: float = Field(default=10, gt=0, description="to reach an http server")
    image_read_seconds: float = Field(default=30, gt=0, description="without a byte from an http server")
    image_fetch_seconds: float = Field(default=6 * 3600, gt=0, description="for a whole download")
    image_max_redirects: int = Field(default=5, ge=0, description="that a download follows")
    image_tool_seconds: float = Field(default=60, gt=0, description="for a short run of qemu-img or mkfs")
    image_convert_seconds: float = Field(default=3600, gt=0, description="for converting a whole image")
    image_lock_seconds: float = Field(default=3600, gt=0, description="to wait for another process at work on a base")
    image_tool_memory_bytes: int = Field(default=2 * _GIB, gt=0, description="address space of such a program (Nova)")
    image_tool_cpu_seconds: int = Field(default=30, gt=0, description="CPU of a short run (Nova)")
    image_heavy_operations: int = Field(
        default=max(2, os.cpu_count() or 2), gt=0, description="imports and conversions at once"
    )
    image_light_operations: int = Field(
        default=4 * max(2, os.cpu_count() or 2), gt=0, description="short runs of qemu-img at once"
    )

    def default_folders(self) -> dict[str, str]:
        """See Settings."""
        return {**super().default_folders(), "images_path": "images"}

    @property
    def database_url(self) -> str:
        """Where the catalogue is."""
        return self.image_database_url or self.sqlite_url("image")
