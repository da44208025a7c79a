"""The memory balloon. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from compute_svc.domain.domain_xml.element import Element, element
from compute_svc.domain.domain_xml.inputs import Inputs

_STATS_PERIOD_SECONDS = 10


def balloon(inputs: Inputs) -> Iterator[Element]:
    """Tells what the guest does with its memory (Nova: mem_stats_period_seconds)."""
    yield element("memballoon", element("stats", period=_STATS_PERIOD_SECONDS), model="virtio")
