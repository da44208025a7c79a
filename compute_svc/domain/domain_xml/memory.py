"""How much memory the guest has. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from compute_svc.domain.domain_xml.element import Element, element
from compute_svc.domain.domain_xml.inputs import Inputs


def memory(inputs: Inputs) -> Iterator[Element]:
    """All of it from the start (Nova: in KiB)."""
    yield element("memory", unit="KiB", text=inputs.spec.flavor.memory_mib * 1024)
