"""Volumes and their attachments."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from netblock_svc.domain.wording import check_display_name
from svckit.errors import InvalidArgument

MAX_GIB = 65_536
FORMATS = ("qcow2", "raw")
_DEVICE = re.compile(r"(?:/dev/)?((?:vd|sd|hd)[a-z]{1,2})")


class VolumeState(StrEnum):
    """How far a volume's making or removal has got. Only AVAILABLE ones are seen outside."""

    CREATING = "creating"  # its data may be there in part
    AVAILABLE = "available"
    DELETING = "deleting"  # its data may be gone in part


@dataclass(frozen=True, kw_only=True)
class Attachment:
    """A volume's place in an instance; `device` is "" when the compute host is to choose."""

    uid: str
    volume: str
    instance: str
    device: str
    position: int
    attach_time: datetime


@dataclass(frozen=True, kw_only=True)
class Volume:
    """A volume."""

    uid: str
    display_name: str
    project: str
    size_gib: int
    format: str
    create_time: datetime
    state: VolumeState = VolumeState.CREATING
    attachment: Attachment | None = None

    def is_visible_to(self, project: str) -> bool:
        """Whether a project may see and use it; "" stands for one that may see all."""
        return self.state is VolumeState.AVAILABLE and project in ("", self.project)


@dataclass(frozen=True, kw_only=True)
class Connection:
    """How a host reaches a volume that is a file of its own (Nova: connection_info, driver_volume_type "local")."""

    device_path: str
    format: str
    access_mode: str = "rw"


def plan_volume(uid: str, project: str, display_name: str, size_gib: int, image_format: str, at: datetime) -> Volume:
    """The volume that a request asks for.

    :raise InvalidArgument: a field of it is wrong.
    """
    check_display_name(display_name, "volume.display_name")
    if not 1 <= size_gib <= MAX_GIB:
        raise InvalidArgument.field("volume.size_gib", f"must be 1 to {MAX_GIB}, got {size_gib}")
    if image_format not in ("", *FORMATS):
        raise InvalidArgument.field("volume.format", f"must be one of {', '.join(FORMATS)}, got {image_format!r}")
    return Volume(
        uid=uid,
        display_name=display_name,
        project=project,
        size_gib=size_gib,
        format=image_format or FORMATS[0],
        create_time=at,
    )


def is_same(volume: Volume, wanted: Volume) -> bool:
    """Whether a volume is what making `wanted` would have made."""
    return (volume.project, volume.display_name, volume.size_gib, volume.format) == (
        wanted.project,
        wanted.display_name,
        wanted.size_gib,
        wanted.format,
    )


def parse_device(text: str, field: str) -> str:
    """A wanted device as "vdb"; "/dev/vdb" is the same, "" lets the compute host choose.

    :raise InvalidArgument: it is not a disk's name.
    """
    if not text:
        return ""
    match = _DEVICE.fullmatch(text)
    if not match:
        raise InvalidArgument.field(field, f"must be empty or a disk such as vdb, sdb or hdb, got {text!r}")
    return match[1]
