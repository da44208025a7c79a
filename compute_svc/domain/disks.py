"""Which disk on which bus under which name, and in which boot order (Nova: blockinfo.get_disk_info). Pure."""

from __future__ import annotations

from dataclasses import dataclass

from compute_svc.domain.model import BlockDeviceInfo, DiskRole, HostCaps, InstanceSpec, WantedDisk


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
    """All disks in guest order (root, ephemerals, swap, config drive, volumes), and what Nova's rules left out."""

    disk_bus: str
    cdrom_bus: str
    disks: tuple[PlannedDisk, ...]
    dropped: tuple[str, ...] = ()


def assign(spec: InstanceSpec, block_devices: BlockDeviceInfo, host: HostCaps) -> DiskPlan:
    """Plan the disks of an instance.

    :raise FailedPrecondition: UNSUPPORTED_HARDWARE, DEVICE_NAME_IN_USE.
    :raise ResourceExhausted: TOO_MANY_DISK_DEVICES.
    """
    raise NotImplementedError


def wanted(plan: DiskPlan, spec: InstanceSpec) -> list[WantedDisk]:
    """The local disks of a plan, as image_svc is asked for them."""
    raise NotImplementedError
