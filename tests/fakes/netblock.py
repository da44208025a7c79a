"""What netblock_svc's use cases may be given instead of disks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from netblock_svc.domain import refusals
from netblock_svc.domain.volume import Connection, Volume


@dataclass
class FakeVolumeBackend:
    """The `VolumeBackend` that keeps nothing but names, and has room for so many GiB."""

    room_gib: int = 65_536
    disks: dict[str, Volume] = field(default_factory=dict)

    async def create(self, volume: Volume) -> None:
        self.disks.pop(volume.uid, None)
        if volume.size_gib > self.room_gib - sum(disk.size_gib for disk in self.disks.values()):
            raise refusals.no_space(f"volume {volume.uid}", "the fake is full")
        self.disks[volume.uid] = volume

    async def delete(self, volume: Volume) -> None:
        self.disks.pop(volume.uid, None)

    async def connections(self, volumes: Sequence[Volume]) -> Mapping[str, Connection]:
        found = [volume for volume in volumes if volume.uid in self.disks]
        return {volume.uid: Connection(device_path=f"/fake/{volume.uid}", format=volume.format) for volume in found}
