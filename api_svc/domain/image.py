"""An image of the catalogue, as far as instances need to know it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Image:
    """What image_svc says about an image. Sizes in bytes where not said otherwise."""

    uid: str
    display_name: str
    disk_format: str = ""
    size_bytes: int = 0
    virtual_size_bytes: int = 0
    sha256: str = ""
    min_disk_gib: int = 0
    min_memory_mib: int = 0
    properties: Mapping[str, str] = field(default_factory=dict)
    create_time: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Import:
    """What an import is to bring in, and from where."""

    image: Image
    source: str
    sha256: str = ""
