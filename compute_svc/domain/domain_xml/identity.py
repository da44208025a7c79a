"""Who the domain is, for libvirt and for the guest (SMBIOS). Pure."""

from __future__ import annotations

from collections.abc import Iterator

from compute_svc.domain.domain_xml.element import Element, element
from compute_svc.domain.domain_xml.inputs import Inputs
from compute_svc.domain.machine import is_x86


def domain_name(uid: str) -> str:
    """libvirt's name for the domain of an instance."""
    return f"instance-{uid}"


def identity(inputs: Inputs) -> Iterator[Element]:
    """Name and UUID; on a PC also what dmidecode shows."""
    uid = inputs.spec.uid
    yield element("name", text=domain_name(uid))
    yield element("uuid", text=uid)
    if is_x86(inputs.host.arch):
        yield element("sysinfo", _system(uid), type="smbios")


def _system(uid: str) -> Element:
    entries = {
        "manufacturer": "Protostar",
        "product": "Protostar",
        "serial": uid,
        "uuid": uid,
        "family": "Virtual Machine",
    }
    return element("system", *(element("entry", name=name, text=text) for name, text in entries.items()))
