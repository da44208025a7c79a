"""What libvirt does when the guest ends by itself. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from compute_svc.domain.domain_xml.element import Element, element
from compute_svc.domain.domain_xml.inputs import Inputs


def lifecycle(inputs: Inputs) -> Iterator[Element]:
    """Off is off, a reboot is one, and a crash ends it: with its reason, for whoever watches to decide."""
    yield element("on_poweroff", text="destroy")
    yield element("on_reboot", text="restart")
    yield element("on_crash", text="destroy")
