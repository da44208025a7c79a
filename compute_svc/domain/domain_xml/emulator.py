"""Which program runs the guest. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from compute_svc.domain.domain_xml.element import Element, element
from compute_svc.domain.domain_xml.inputs import Inputs


def emulator(inputs: Inputs) -> Iterator[Element]:
    """The host's own choice, if it made one."""
    if inputs.host.emulator:
        yield element("emulator", text=inputs.host.emulator)
