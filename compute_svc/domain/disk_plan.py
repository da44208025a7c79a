"""The plan of an instance's disks. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from compute_svc.domain.model import DiskRole, InstanceSpec, WantedDisk


@dataclass(frozen=True, kw_only=True)
class PlannedDisk:
    """One disk of the guest.

    `name` is the local file's ("disk", "disk.local", "disk.eph0", "disk.swap", "disk.config") and empty for a volume,
    `dev` is without "/dev/", `type` is "disk" or "cdrom", `boot_order` counts from 1 and is None for not bootable,
    `unit` is set on a virtio-scsi controller only. `role` is None and `volume_id` set for a volume.
    """

    name: str
    bus: str
    dev: str
    type: str
    role: DiskRole | None = None
    volume_id: str = ""
    size_bytes: int = 0
    boot_order: int | None = None
    unit: int | None = None


@dataclass(frozen=True, kw_only=True)
class DiskPlan:
    """All disks, the root first, then ephemerals, swap, config drive, volumes; and what Nova's rules leave out."""

    disk_bus: str
    cdrom_bus: str
    disks: tuple[PlannedDisk, ...]
    dropped: tuple[str, ...] = ()

    @property
    def root(self) -> PlannedDisk:
        """The disk that the guest boots from first."""
        return self.disks[0]

    @property
    def volumes(self) -> tuple[PlannedDisk, ...]:
        """Those that are volumes."""
        return tuple(disk for disk in self.disks if disk.volume_id)


def wanted(plan: DiskPlan, spec: InstanceSpec) -> list[WantedDisk]:
    """The local disks of a plan, as image_svc is asked for them. An iso is as large as it is, whatever the flavor."""
    return [
        WantedDisk(
            name=disk.name,
            role=disk.role,
            size_bytes=0 if disk.role is DiskRole.ROOT and spec.image_disk_format == "iso" else disk.size_bytes,
        )
        for disk in plan.disks
        if disk.role is not None
    ]
