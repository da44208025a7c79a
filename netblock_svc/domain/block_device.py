"""Block devices: an instance's disks as its compute host needs to know them (Nova: block_device_info)."""

from __future__ import annotations

from dataclasses import dataclass

from netblock_svc.domain.volume import Connection, Volume


@dataclass(frozen=True, kw_only=True)
class LocalDisks:
    """The disks that an instance's flavor and image make. GiB and MiB; 0 for none, for `root_gib` the image's own."""

    image: str
    root_gib: int
    ephemeral_gib: int
    swap_mib: int


@dataclass(frozen=True, kw_only=True)
class ConnectedVolume:
    """An attached volume; `connection` is None when nothing can reach it."""

    volume: Volume
    connection: Connection | None
