"""The machine type, and what follows from it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from compute_svc.domain.image_properties import unsupported
from compute_svc.domain.model import HostCaps, InstanceSpec

# Nova: libvirt/utils.py, get_default_machine_type. An alias stays an alias: libvirt resolves it when it defines.
_DEFAULTS: Mapping[str, str] = MappingProxyType(
    {
        "x86_64": "pc",
        "i686": "pc",
        "aarch64": "virt",
        "armv7l": "virt",
        "ppc64": "pseries",
        "ppc64le": "pseries",
        "s390x": "s390-ccw-virtio",
    }
)
_ARCH_ALIASES: Mapping[str, str] = MappingProxyType({"amd64": "x86_64", "i386": "i686", "i586": "i686"})
_RUNS_ALSO: Mapping[str, frozenset[str]] = MappingProxyType({"x86_64": frozenset({"i686"})})


def machine_type(spec: InstanceSpec, host: HostCaps) -> str:
    """The image's hw_machine_type, else the architecture's default (x86: pc).

    :raise FailedPrecondition: UNSUPPORTED_HARDWARE, this host has no such machine.
    """
    _require_arch(spec, host)
    machine = spec.image_properties.get("hw_machine_type", "") or _DEFAULTS.get(host.arch, "")
    if not machine or (host.machine_types and machine not in host.machine_types):
        raise unsupported(
            f"this host offers no machine type {machine!r} for {host.arch}; change the image property hw_machine_type",
            property="hw_machine_type",
            value=machine,
        )
    return machine


def is_q35(machine: str) -> bool:
    """Whether it is a PCI Express machine with SATA instead of IDE (Nova: the name contains "q35")."""
    return "q35" in machine


def is_x86(arch: str) -> bool:
    """Whether it is a PC."""
    return arch in {"x86_64", "i686"}


def _require_arch(spec: InstanceSpec, host: HostCaps) -> None:
    """Nova: ImagePropertiesFilter looks at hw_architecture before a host is chosen."""
    wanted = spec.image_properties.get("hw_architecture", "") or host.arch
    arch = _ARCH_ALIASES.get(wanted, wanted)
    if arch != host.arch and arch not in _RUNS_ALSO.get(host.arch, frozenset()):
        raise unsupported(
            f"the image is made for {wanted}, this host is {host.arch}", property="hw_architecture", value=wanted
        )
