"""The facts of this host: from libvirt's capabilities, checked against what the machine itself says."""

from __future__ import annotations

import contextlib
import os
import platform
import re
from dataclasses import dataclass
from pathlib import Path

import libvirt
from lxml import etree

from compute_svc.domain.guest import HostFacts
from compute_svc.domain.model import DomainType, HostCaps

_CPUINFO = Path("/proc/cpuinfo")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_KVM = Path("/dev/kvm")


@dataclass(frozen=True, kw_only=True)
class HostSettings:
    """What libvirt cannot say: the configured name and URI, and a folder where disks are kept."""

    name: str
    uri: str
    disks: Path


def measure(connection: libvirt.virConnect, settings: HostSettings) -> HostFacts:
    """Look at the host. Blocks, seconds long the first time: libvirt asks every emulator what it can do."""
    capabilities = etree.fromstring(connection.getCapabilities().encode())
    _, memory_mib, vcpus, *_ = connection.getInfo()
    embedded = settings.uri.startswith("qemu:///embed")
    arch = capabilities.findtext("./host/cpu/arch") or platform.machine()
    guest = _guest(capabilities, arch)
    types = {element.get("type", "") for element in guest.iter("domain")} if guest is not None else set()
    caps = HostCaps(
        domain_type=_domain_type(types, arch),
        arch=arch,
        machine_types=_machines(guest),
        emulator=guest.findtext("./arch/emulator") if guest is not None and "test" not in types else None,
        libvirt_version=connection.getLibVersion(),
        hypervisor_version=connection.getVersion(),
        direct_io=_direct_io(settings.disks),
        vnc=not embedded,
        embedded=embedded,
    )
    return HostFacts(
        name=settings.name,
        connection=settings.uri.partition("?")[0],
        caps=caps,
        vcpus=vcpus,
        memory_mib=memory_mib,
        boot_id=boot_id(),
    )


def boot_id() -> str:
    """Changes when the machine boots."""
    return _BOOT_ID.read_text().strip()


def kvm_works(arch: str) -> bool:
    """Whether KVM can really run a guest.

    /dev/kvm may be there, and be listed by libvirt, on a machine whose CPU cannot do it: guests then hang before their
    first line. On x86 the CPU's flags tell.
    """
    if not os.access(_KVM, os.R_OK | os.W_OK):
        return False
    if arch not in ("x86_64", "i686"):
        return True
    return re.search(r"^flags\s*:.*\b(vmx|svm)\b", _CPUINFO.read_text(), re.MULTILINE) is not None


def _domain_type(types: set[str], arch: str) -> DomainType:
    if "test" in types:
        return DomainType.TEST
    return DomainType.KVM if "kvm" in types and kvm_works(arch) else DomainType.QEMU


def _guest(capabilities: etree._Element, arch: str) -> etree._Element | None:
    for guest in capabilities.iter("guest"):
        found = guest.find("arch")
        if guest.findtext("os_type") == "hvm" and found is not None and found.get("name") == arch:
            return guest
    return None


def _machines(guest: etree._Element | None) -> frozenset[str]:
    if guest is None:
        return frozenset()
    machines = list(guest.iter("machine"))
    return frozenset({machine.text or "" for machine in machines} | {m.get("canonical", "") for m in machines}) - {""}


def _direct_io(folder: Path) -> bool:
    """Whether O_DIRECT works here: tmpfs and some overlays refuse it, and so would QEMU with cache=none."""
    probe = folder / f".direct-io-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        os.close(os.open(probe, os.O_CREAT | os.O_WRONLY | os.O_DIRECT, 0o600))
    except OSError:
        return False
    finally:
        with contextlib.suppress(OSError):
            probe.unlink(missing_ok=True)
    return True
