"""The random number generator. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from compute_svc.domain.domain_xml.element import Element, element
from compute_svc.domain.domain_xml.inputs import Inputs


def rng(inputs: Inputs) -> Iterator[Element]:
    """Entropy from the host, so that no guest waits for its first key."""
    yield element("rng", element("backend", model="random", text="/dev/urandom"), model="virtio")
