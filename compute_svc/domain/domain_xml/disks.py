"""The guest's disks: what the plan says, over what is really on disk. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from compute_svc.domain.disk_plan import PlannedDisk
from compute_svc.domain.domain_xml.element import Element, element
from compute_svc.domain.domain_xml.inputs import Inputs
from compute_svc.domain.image_properties import unsupported
from compute_svc.domain.model import LocalConnection
from svckit.errors import FailedPrecondition, Internal


def disks(inputs: Inputs) -> Iterator[Element]:
    """One for each of the plan, each with its format pinned and a serial.

    :raise FailedPrecondition: VOLUME_NOT_CONNECTED, UNSUPPORTED_VOLUME, UNSUPPORTED_HARDWARE.
    :raise Internal: DISK_MISSING.
    """
    for disk in inputs.plan.disks:
        yield _volume(disk, inputs) if disk.volume_id else _local(disk, inputs)


def serial(uid: str, name: str) -> str:
    """The serial of a local disk: what the guest finds it by, at most 20 characters, which is all that virtio tells."""
    return f"{uid[:8]}-{name}"


def _local(disk: PlannedDisk, inputs: Inputs) -> Element:
    facts = inputs.disks.get(disk.name)
    if facts is None:
        raise Internal(
            f"{disk.name} of instance {inputs.spec.uid} is planned, but nobody says that it is on disk",
            reason="DISK_MISSING",
            metadata={"disk": disk.name},
        )
    return _disk(disk, inputs, facts.path, facts.type, serial(inputs.spec.uid, disk.name))


def _volume(disk: PlannedDisk, inputs: Inputs) -> Element:
    connection = _connection(disk.volume_id, inputs)
    is_read_only = connection.access_mode == "ro"
    if is_read_only and disk.type == "disk" and disk.bus in {"ide", "sata"}:
        raise unsupported(
            f"volume {disk.volume_id} is read-only, which a disk on bus {disk.bus} cannot be; use virtio or scsi",
            volume=disk.volume_id,
            bus=disk.bus,
        )
    return _disk(disk, inputs, connection.device_path, connection.format, disk.volume_id, is_read_only)


def _connection(volume_id: str, inputs: Inputs) -> LocalConnection:
    volume = inputs.volumes.get(volume_id)
    if volume is None or volume.connection_info is None:
        raise FailedPrecondition(
            f"volume {volume_id} has no connection to this host; detach it, or wait until it has one",
            reason="VOLUME_NOT_CONNECTED",
            metadata={"volume": volume_id},
        )
    if volume.connection_info.local is None:
        kind = volume.connection_info.driver_volume_type
        raise FailedPrecondition(
            f"volume {volume_id} is reached by {kind!r}, which this host does not do; detach it",
            reason="UNSUPPORTED_VOLUME",
            metadata={"volume": volume_id, "driver_volume_type": kind},
        )
    return volume.connection_info.local


def _disk(
    disk: PlannedDisk, inputs: Inputs, path: str, driver_type: str, serial_text: str, is_read_only: bool = False
) -> Element:
    children = [
        _driver(disk, inputs, driver_type),
        element("source", file=path),
        element("target", dev=disk.dev, bus=disk.bus),
        *([element("readonly")] if is_read_only or disk.type == "cdrom" else []),
        element("serial", text=serial_text),
        *([element("boot", order=disk.boot_order)] if disk.boot_order else []),
        *([_address(disk.unit)] if disk.unit is not None else []),
    ]
    return element("disk", *children, type="file", device=disk.type)


def _driver(disk: PlannedDisk, inputs: Inputs, driver_type: str) -> Element:
    """Past the host's cache where that works (Nova); what the guest frees is freed on the host."""
    return element(
        "driver",
        name="qemu",
        type=driver_type,
        cache="none" if inputs.host.direct_io else "writeback",
        discard="unmap" if disk.type == "disk" else None,
    )


def _address(unit: int) -> Element:
    return element("address", type="drive", controller=0, bus=0, target=0, unit=unit)
