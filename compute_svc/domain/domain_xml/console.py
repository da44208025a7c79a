"""The serial console. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from compute_svc.domain.domain_xml.element import Element, element
from compute_svc.domain.domain_xml.inputs import Inputs


def console(inputs: Inputs) -> Iterator[Element]:
    """A serial port that anybody can attach to, with a log that is kept across starts (Nova truncates it)."""
    yield element(
        "serial",
        element("log", file=inputs.paths.console_log, append="on"),
        element("target", port=0),
        type="pty",
    )
