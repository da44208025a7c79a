"""Which disk on which bus under which name, and in which boot order (Nova: blockinfo.get_disk_info). Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from compute_svc.domain import device_names
from compute_svc.domain.buses import Buses, buses
from compute_svc.domain.disk_plan import DiskPlan, PlannedDisk, wanted
from compute_svc.domain.image_properties import unsupported
from compute_svc.domain.model import (
    BlockDeviceInfo,
    DiskRole,
    HostCaps,
    ImageBlockDevice,
    InstanceSpec,
    VolumeBlockDevice,
)
from svckit.errors import FailedPrecondition

__all__ = ["DiskPlan", "PlannedDisk", "assign", "has_config_drive", "wanted"]

GIB = 1024**3
MIB = 1024**2


def assign(spec: InstanceSpec, block_devices: BlockDeviceInfo, host: HostCaps) -> DiskPlan:
    """Plan the disks of an instance.

    Names are given in Nova's order: root, ephemerals, swap, volumes, config drive. A name that somebody chose is never
    given to another disk; one that was made for another bus is replaced.

    :raise FailedPrecondition: UNSUPPORTED_HARDWARE, TOO_MANY_DISK_DEVICES, DEVICE_NAME_IN_USE.
    """
    assignment = _Assignment(spec, block_devices, buses(spec, host))
    root = assignment.root()
    local = [root, *assignment.ephemerals(), *assignment.swap()]
    volumes = list(assignment.volumes())
    disks = [*local, *assignment.config_drive(), *volumes]
    return DiskPlan(
        disk_bus=assignment.buses.disk,
        cdrom_bus=assignment.buses.cdrom,
        disks=tuple(_without_equal_boot_orders(disks)),
        dropped=tuple(assignment.dropped),
    )


class _Assignment:
    """One run of `assign`: what is taken so far."""

    def __init__(self, spec: InstanceSpec, block_devices: BlockDeviceInfo, of: Buses) -> None:
        self.spec = spec
        self.info = block_devices
        self.buses = of
        self.dropped: list[str] = []
        self._boot_volume = _boot_volume(block_devices)
        self._taken: dict[str, str] = {}
        self._reserved = frozenset(_chosen_names(block_devices))

    def root(self) -> PlannedDisk:
        """The image's disk, or the volume that takes its place."""
        if self._boot_volume is not None:
            return replace(self._volume(self._boot_volume, self.info.root_device_name), boot_order=1)
        image = self.info.image[0] if self.info.image else ImageBlockDevice(image_id=self.spec.image)
        is_iso = self.spec.image_disk_format == "iso"
        return self._local(
            "disk",
            DiskRole.ROOT,
            size_bytes=(image.size_gib or self.spec.flavor.root_gib) * GIB,
            device_type=image.device_type or ("cdrom" if is_iso else "disk"),
            bus=image.disk_bus,
            chosen=image.device_name or self.info.root_device_name,
            respects_reserved=False,
            boot_order=image.boot_index + 1,
        )

    def ephemerals(self) -> Iterator[PlannedDisk]:
        """The flavor's one `disk.local`, or those that block_device_info lists.

        Nova: when the name that the flavor's disk would take is a volume's, the flavor's disk is left out; a listed one
        takes the next name. A flavor's disk that netblock_svc lists is the only one, and keeps its name.
        """
        listed = self.info.ephemerals
        if not listed and self.spec.flavor.ephemeral_gib > 0:
            yield from self._flavor_ephemeral()
        for index, ephemeral in enumerate(listed):
            yield self._local(
                "disk.local" if len(listed) == 1 else f"disk.eph{index}",
                DiskRole.EPHEMERAL,
                size_bytes=ephemeral.size_gib * GIB,
                bus=ephemeral.disk_bus,
                chosen=ephemeral.device_name,
            )

    def swap(self) -> Iterator[PlannedDisk]:
        """The listed swap, else the flavor's."""
        swap = self.info.swap
        size_mib = swap.swap_size_mib if swap else self.spec.flavor.swap_mib
        if size_mib > 0:
            yield self._local(
                "disk.swap",
                DiskRole.SWAP,
                size_bytes=size_mib * MIB,
                bus=swap.disk_bus if swap else "",
                chosen=swap.device_name if swap else "",
            )

    def volumes(self) -> Iterator[PlannedDisk]:
        """All volumes but the one that is the root."""
        for volume in self.info.volumes:
            if volume is not self._boot_volume:
                yield self._volume(volume, "")

    def config_drive(self) -> Iterator[PlannedDisk]:
        """A cdrom, if the instance or its image asks for one."""
        if has_config_drive(self.spec):
            yield self._local("disk.config", DiskRole.CONFIG, size_bytes=0, device_type="cdrom")

    def _flavor_ephemeral(self) -> Iterator[PlannedDisk]:
        if device_names.first_free(self.buses.disk, self._taken) in self._reserved:
            self.dropped.append("disk.local")
            return
        size = self.spec.flavor.ephemeral_gib * GIB
        yield self._local("disk.local", DiskRole.EPHEMERAL, size_bytes=size)

    def _local(
        self,
        name: str,
        role: DiskRole,
        *,
        size_bytes: int,
        device_type: str = "disk",
        bus: str = "",
        chosen: str = "",
        respects_reserved: bool = True,
        boot_order: int | None = None,
    ) -> PlannedDisk:
        bus = self.buses.require(bus or self.buses.default(device_type), device_type)
        dev = device_names.strip(chosen)
        if not device_names.fits(dev, bus):  # a name that was made for another bus
            dev = self._first_free(bus, respects_reserved)
        return PlannedDisk(
            name=name,
            bus=bus,
            dev=self._claim(dev, bus, name),
            type=device_type,
            role=role,
            size_bytes=size_bytes,
            boot_order=boot_order,
            unit=self._unit(bus, dev),
        )

    def _volume(self, volume: VolumeBlockDevice, fallback_name: str) -> PlannedDisk:
        device_type = _volume_type(volume)
        dev = device_names.strip(volume.mount_device or fallback_name)
        bus = volume.disk_bus or (device_names.bus_of(dev) if dev else self.buses.default(device_type))
        self.buses.require(bus, device_type)
        if not device_names.fits(dev, bus):
            dev = self._first_free(bus)
        return PlannedDisk(
            name="",
            bus=bus,
            dev=self._claim(dev, bus, f"volume {volume.volume_id}"),
            type=device_type,
            volume_id=volume.volume_id,
            size_bytes=volume.volume_size_gib * GIB,
            boot_order=volume.boot_index + 1 if volume.boot_index >= 0 else None,
            unit=self._unit(bus, dev),
        )

    def _first_free(self, bus: str, respects_reserved: bool = True) -> str:
        reserved = self._reserved if respects_reserved else frozenset()
        return device_names.first_free(bus, reserved | self._taken.keys())

    def _claim(self, dev: str, bus: str, owner: str) -> str:
        if device_names.index_of(dev) >= device_names.limit(bus):
            raise device_names.too_many(bus)
        if dev in self._taken:
            raise FailedPrecondition(
                f"{owner} wants to be /dev/{dev}, which is taken by {self._taken[dev]}; "
                "detach it and attach it again under another name, or without one",
                reason="DEVICE_NAME_IN_USE",
                metadata={"device": f"/dev/{dev}", "owner": owner, "taken_by": self._taken[dev]},
            )
        self._taken[dev] = owner
        return dev

    def _unit(self, bus: str, dev: str) -> int | None:
        """The name's own place, so that a disk keeps its address when another one comes or goes."""
        is_numbered = bus == "scsi" and self.buses.scsi_model == "virtio-scsi"
        return device_names.index_of(dev) if is_numbered else None


def has_config_drive(spec: InstanceSpec) -> bool:
    """Whether there is one (Nova: configdrive.required_by)."""
    return spec.config_drive or spec.image_properties.get("img_config_drive") == "mandatory"


def _boot_volume(info: BlockDeviceInfo) -> VolumeBlockDevice | None:
    """The volume that is the root, when there is no image disk."""
    if info.image:
        return None
    return next((volume for volume in info.volumes if volume.boot_index == 0), None)


def _volume_type(volume: VolumeBlockDevice) -> str:
    if volume.device_type in {"", "disk", "cdrom"}:
        return volume.device_type or "disk"
    raise unsupported(
        f"volume {volume.volume_id} wants to be a {volume.device_type!r}; a volume is a disk or a cdrom",
        volume=volume.volume_id,
        device_type=volume.device_type,
    )


def _chosen_names(info: BlockDeviceInfo) -> Iterator[str]:
    """Names that block devices bring along; nothing else may take them."""
    names = [
        *(image.device_name for image in info.image),
        *(ephemeral.device_name for ephemeral in info.ephemerals),
        info.swap.device_name if info.swap else "",
        *(volume.mount_device for volume in info.volumes),
    ]
    return (device_names.strip(name) for name in names if name)


def _without_equal_boot_orders(disks: list[PlannedDisk]) -> Iterator[PlannedDisk]:
    """Boot index n is boot order n+1 (Nova); of two that say the same, the later one comes later."""
    used: set[int] = set()
    for disk in disks:
        order = disk.boot_order
        while order is not None and order in used:
            order += 1
        if order is not None:
            used.add(order)
        yield replace(disk, boot_order=order)
