"""The guest's processors. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from compute_svc.domain.domain_xml.element import Element, element
from compute_svc.domain.domain_xml.inputs import Inputs
from compute_svc.domain.image_properties import count
from compute_svc.domain.machine import is_x86


def cpu(inputs: Inputs) -> Iterator[Element]:
    """As many as the flavor says, with the host's features; an emulated one has all that QEMU can emulate."""
    vcpus = inputs.spec.flavor.vcpus
    sockets, cores, threads = topology(vcpus, inputs)
    yield element("vcpu", text=vcpus, placement="static")
    yield element(
        "cpu",
        element("topology", sockets=sockets, cores=cores, threads=threads),
        *([] if inputs.is_kvm else _left_out(inputs)),
        mode="host-model" if inputs.is_kvm else "maximum",
    )


def _left_out(inputs: Inputs) -> Iterator[Element]:
    """Emulated five-level paging now and then triple-faults a kernel that switches it on (Red Hat bug 2082806)."""
    if is_x86(inputs.host.arch):
        yield element("feature", policy="disable", name="la57")


def topology(vcpus: int, inputs: Inputs) -> tuple[int, int, int]:
    """Sockets, cores, threads by hw_cpu_sockets, hw_cpu_cores and hw_cpu_threads.

    They are wishes (Nova): those that do not multiply to the number of CPUs give one socket for each CPU.
    """
    wished = tuple(count(inputs.properties, f"hw_cpu_{part}") for part in ("sockets", "cores", "threads"))
    sockets, cores, threads = wished
    threads = threads or 1
    if cores is None:
        cores = max(1, vcpus // (sockets * threads)) if sockets else 1
    sockets = sockets or max(1, vcpus // (cores * threads))
    return (sockets, cores, threads) if sockets * cores * threads == vcpus else (vcpus, 1, 1)
