"""Controllers that libvirt would choose otherwise. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from compute_svc.domain.domain_xml.element import Element, element
from compute_svc.domain.domain_xml.input_devices import input_bus
from compute_svc.domain.domain_xml.inputs import Inputs


def controllers(inputs: Inputs) -> Iterator[Element]:
    """The SCSI controller of hw_scsi_model when a disk needs one; no USB when nothing needs it (Nova)."""
    used = {disk.bus for disk in inputs.plan.disks}
    if "scsi" in used:
        yield element("controller", type="scsi", index=0, model=inputs.buses.scsi_model)
    if "usb" not in used and input_bus(inputs) != "usb":
        yield element("controller", type="usb", index=0, model="none")
