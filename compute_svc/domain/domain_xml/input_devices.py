"""Pointer and keyboard. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from compute_svc.domain.domain_xml.element import Element, element
from compute_svc.domain.domain_xml.inputs import Inputs
from compute_svc.domain.image_properties import choice

_BUSES = frozenset({"usb", "virtio"})
_POINTERS = frozenset({"usbtablet", "ps2mouse"})


def input_devices(inputs: Inputs) -> Iterator[Element]:
    """A tablet, so that a remote pointer is where it looks to be, and with hw_input_bus a keyboard too."""
    bus = input_bus(inputs)
    if bus:
        yield element("input", type="tablet", bus=bus)
    if inputs.properties.get("hw_input_bus"):
        yield element("input", type="keyboard", bus=bus)


def input_bus(inputs: Inputs) -> str:
    """The bus of hw_input_bus, else usb for hw_pointer_model=usbtablet; empty for a PC's own mouse.

    The tablet is the default where there is a display (Nova); without one it would only keep the processor awake.
    """
    bus = choice(inputs.properties, "hw_input_bus", "", _BUSES)
    pointer = choice(
        inputs.properties, "hw_pointer_model", "usbtablet" if inputs.has_display else "ps2mouse", _POINTERS
    )
    return bus or ("usb" if pointer == "usbtablet" else "")
