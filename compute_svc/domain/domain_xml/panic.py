"""The device by which a kernel says that it panics. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from compute_svc.domain.domain_xml.element import Element, element
from compute_svc.domain.domain_xml.inputs import Inputs
from compute_svc.domain.machine import is_x86


def panic(inputs: Inputs) -> Iterator[Element]:
    """Without it a dead kernel looks like a running guest, and `on_crash` never comes into play."""
    if is_x86(inputs.host.arch):
        yield element("panic", model="isa")
