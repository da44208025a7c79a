"""The guest agent's channel. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from compute_svc.domain.domain_xml.element import Element, element
from compute_svc.domain.domain_xml.inputs import Inputs
from compute_svc.domain.image_properties import flag


def channel(inputs: Inputs) -> Iterator[Element]:
    """With hw_qemu_guest_agent=yes. libvirt chooses the socket: only it knows its root."""
    if flag(inputs.properties, "hw_qemu_guest_agent"):
        yield element("channel", element("target", type="virtio", name="org.qemu.guest_agent.0"), type="unix")
