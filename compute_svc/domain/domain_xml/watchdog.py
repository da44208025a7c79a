"""The watchdog. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from compute_svc.domain.domain_xml.element import Element, element
from compute_svc.domain.domain_xml.inputs import Inputs
from compute_svc.domain.image_properties import choice

_OFF = "disabled"
_ACTIONS = frozenset({"reset", "poweroff", "pause", "none"})


def watchdog(inputs: Inputs) -> Iterator[Element]:
    """What happens to a guest that hangs, by hw_watchdog_action (Nova: disabled unless asked for)."""
    action = choice(inputs.properties, "hw_watchdog_action", _OFF, _ACTIONS)
    if action != _OFF:
        yield element("watchdog", model="i6300esb", action=action)
