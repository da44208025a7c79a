"""Which buses an instance's disks sit on (nova-behaviour, section 3.3). Pure."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from compute_svc.domain.image_properties import choice, unsupported
from compute_svc.domain.machine import is_q35, machine_type
from compute_svc.domain.model import HostCaps, InstanceSpec

# What QEMU can put a disk or a cdrom on. Nova also allows fdc, and virtio for a cdrom, which libvirt then refuses.
ALLOWED = MappingProxyType(
    {
        "disk": frozenset({"virtio", "scsi", "ide", "sata", "usb"}),
        "cdrom": frozenset({"scsi", "ide", "sata", "usb"}),
    }
)
SCSI_MODELS = frozenset({"virtio-scsi", "lsilogic", "lsisas1068", "lsisas1078", "vmpvscsi"})


@dataclass(frozen=True, kw_only=True)
class Buses:
    """The buses of one instance; `scsi_model` is that of the controller, should there be one."""

    disk: str
    cdrom: str
    scsi_model: str
    machine: str

    def default(self, device_type: str) -> str:
        """The bus for a disk or cdrom for which nobody chose one."""
        return self.cdrom if device_type == "cdrom" else self.disk

    def require(self, bus: str, device_type: str) -> str:
        """The bus itself.

        :raise FailedPrecondition: UNSUPPORTED_HARDWARE, such a device cannot sit there.
        """
        if bus not in ALLOWED[device_type]:
            raise unsupported(
                f"a {device_type} cannot sit on bus {bus!r}; use one of {', '.join(sorted(ALLOWED[device_type]))}",
                bus=bus,
                device_type=device_type,
            )
        if bus == "ide" and is_q35(self.machine):
            raise unsupported(f"machine {self.machine} has no IDE; use sata", bus=bus, machine=self.machine)
        return bus


def buses(spec: InstanceSpec, host: HostCaps) -> Buses:
    """The image's hw_disk_bus, hw_cdrom_bus and hw_scsi_model, or the defaults.

    The default SCSI controller is virtio-scsi: Nova leaves it to libvirt, whose lsilogic today's kernels do not drive.

    :raise FailedPrecondition: UNSUPPORTED_HARDWARE.
    """
    machine, properties = machine_type(spec, host), spec.image_properties
    found = Buses(
        disk=choice(properties, "hw_disk_bus", "virtio", ALLOWED["disk"]),
        cdrom=choice(properties, "hw_cdrom_bus", _cdrom_default(machine, host.arch), ALLOWED["cdrom"]),
        scsi_model=choice(properties, "hw_scsi_model", "virtio-scsi", SCSI_MODELS),
        machine=machine,
    )
    found.require(found.disk, "disk")
    found.require(found.cdrom, "cdrom")
    return found


def _cdrom_default(machine: str, arch: str) -> str:
    if arch.startswith(("ppc", "s390", "aarch64")):
        return "scsi"
    return "sata" if is_q35(machine) else "ide"
