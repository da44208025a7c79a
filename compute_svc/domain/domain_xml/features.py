"""Features of the machine. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from compute_svc.domain.domain_xml.element import Element, element
from compute_svc.domain.domain_xml.inputs import Inputs
from compute_svc.domain.machine import is_x86

# Nova: what makes Windows quick on KVM. The others of its list ask for each other, and for these.
_HYPERV = ("relaxed", "vapic", "vpindex", "runtime", "synic", "reset", "frequencies", "tlbflush", "ipi")
_SPINLOCK_RETRIES = 8191


def features(inputs: Inputs) -> Iterator[Element]:
    """ACPI, so that the guest hears that it shall shut down; a PC's APIC; for Windows on KVM Hyper-V's interface."""
    yield element("features", *_children(inputs))


def _children(inputs: Inputs) -> Iterator[Element]:
    if is_x86(inputs.host.arch):
        yield element("acpi")
        yield element("apic")
    if inputs.is_windows and inputs.is_kvm:
        yield element("hyperv", *_hyperv())


def _hyperv() -> Iterator[Element]:
    for name in _HYPERV:
        yield element(name, state="on")
    yield element("spinlocks", state="on", retries=_SPINLOCK_RETRIES)
