"""What a check says. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """How it is."""

    OK = "ok"
    WARNING = "warning"
    MISSING = "missing"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked at. `package` is the Debian package that brings it, `fix` any other command."""

    name: str
    state: State
    detail: str
    package: str = ""
    fix: str = ""


def good(name: str, detail: str) -> Finding:
    """It is as it should be."""
    return Finding(name=name, state=State.OK, detail=detail)


def warning(name: str, detail: str, fix: str = "") -> Finding:
    """It works, with less than one might wish."""
    return Finding(name=name, state=State.WARNING, detail=detail, fix=fix)


def missing(name: str, detail: str, *, package: str = "", fix: str = "") -> Finding:
    """Protostar cannot work like this."""
    return Finding(name=name, state=State.MISSING, detail=detail, package=package, fix=fix)


def is_well(findings: Sequence[Finding]) -> bool:
    """Whether nothing that is needed is missing."""
    return all(finding.state is not State.MISSING for finding in findings)


def commands(findings: Sequence[Finding], packages: Sequence[str], *, root: bool) -> list[str]:
    """What to type, in order, to have everything that is missing."""
    wanted = [finding for finding in findings if finding.state is State.MISSING]
    names = list(dict.fromkeys([*(f.package for f in wanted if f.package), *packages]))
    install = [f"{'' if root else 'sudo '}apt-get install --no-install-recommends {' '.join(names)}"] if names else []
    return [*install, *dict.fromkeys(finding.fix for finding in wanted if finding.fix)]


def kvm(*, device: bool, usable: bool, cpu_flags: frozenset[str]) -> Finding:
    """Whether guests run on the hardware. Capabilities can lie: without vmx or svm a guest would hang (measured)."""
    virtual = cpu_flags & {"vmx", "svm"}
    if device and usable and virtual:
        return good("KVM", f"guests run on the hardware ({', '.join(sorted(virtual))})")
    if device and not virtual:
        why = "/dev/kvm is there, but the CPU says neither vmx nor svm, so that a guest would hang"
    elif device:
        return warning("KVM", "/dev/kvm is not ours to use: guests are emulated", "sudo usermod -aG kvm $USER")
    else:
        why = "no /dev/kvm"
    return warning("KVM", f"{why}: guests are emulated, which is several times slower")
