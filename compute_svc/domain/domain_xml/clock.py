"""The guest's clock and timers. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from compute_svc.domain.domain_xml.element import Element, element
from compute_svc.domain.domain_xml.inputs import Inputs
from compute_svc.domain.image_properties import flag
from compute_svc.domain.machine import is_x86


def clock(inputs: Inputs) -> Iterator[Element]:
    """UTC, local time for Windows; ticks that were missed are made up for as Nova does it."""
    yield element("clock", *_timers(inputs), offset="localtime" if inputs.is_windows else "utc")


def _timers(inputs: Inputs) -> Iterator[Element]:
    if is_x86(inputs.host.arch):
        yield element("timer", name="pit", tickpolicy="delay")
        yield element("timer", name="rtc", tickpolicy="catchup")
        yield element("timer", name="hpet", present="yes" if flag(inputs.properties, "hw_time_hpet") else "no")
    if inputs.is_windows and inputs.is_kvm:
        yield element("timer", name="hypervclock", present="yes")
