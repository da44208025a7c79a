"""The machine and its firmware. In which order devices boot, the devices say themselves. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from compute_svc.domain.domain_xml.element import Element, element
from compute_svc.domain.domain_xml.inputs import Inputs
from compute_svc.domain.image_properties import choice, flag
from compute_svc.domain.machine import is_x86

_FIRMWARE = {"bios": None, "uefi": "efi"}


def boot(inputs: Inputs) -> Iterator[Element]:
    """hvm on the machine of hw_machine_type, with the firmware of hw_firmware_type and the menu of hw_boot_menu."""
    firmware = choice(inputs.properties, "hw_firmware_type", "bios", _FIRMWARE.keys())
    yield element("os", *_children(inputs), firmware=_FIRMWARE[firmware])


def _children(inputs: Inputs) -> Iterator[Element]:
    yield element("type", arch=inputs.host.arch, machine=inputs.buses.machine, text="hvm")
    if flag(inputs.properties, "hw_boot_menu"):
        yield element("bootmenu", enable="yes")
    if is_x86(inputs.host.arch):
        yield element("smbios", mode="sysinfo")
