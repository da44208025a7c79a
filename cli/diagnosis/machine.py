"""Programs, libraries and KVM of this machine."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from cli.diagnosis import findings
from cli.diagnosis.findings import Finding

_LIBRARY_DIRS = (
    f"/usr/lib/{platform.machine()}-linux-gnu/libvirt",
    "/usr/lib64/libvirt",
    "/usr/lib/libvirt",
    "/usr/local/lib/libvirt",
)
_DRIVER = "connection-driver/libvirt_driver_qemu.so"
_REAPING_SECONDS = 3.0
_QEMU_PACKAGE = {"x86_64": "qemu-system-x86", "aarch64": "qemu-system-arm"}
_TOOLS = (
    # program, what it is for, its package
    ("qemu-img", "disks and images", "qemu-utils"),
    ("prlimit", "limits for qemu-img", "util-linux"),
    ("mkfs.ext4", "ephemeral disks", "e2fsprogs"),
    ("mkfs.vfat", "ephemeral disks", "dosfstools"),
    ("mkswap", "swap disks", "util-linux"),
)


def look(libvirt_uri: str) -> Iterator[Finding]:
    """Everything that does not depend on where Protostar keeps its data."""
    yield _python()
    yield _libvirt()
    if libvirt_uri.startswith("test:"):
        return
    if "/system" in libvirt_uri:
        yield _system_libvirt()
    else:
        yield _embedded_driver()
    machine = platform.machine()
    yield _tool(f"qemu-system-{machine}", "guests", _QEMU_PACKAGE.get(machine, "qemu-system"))
    for program, purpose, package in _TOOLS:
        yield _tool(program, purpose, package)
    yield findings.kvm(
        device=Path("/dev/kvm").exists(), usable=os.access("/dev/kvm", os.R_OK | os.W_OK), cpu_flags=_cpu_flags()
    )
    yield _reaper()


def _python() -> Finding:
    # An older one cannot have come this far.
    return findings.good("Python", f"{platform.python_version()} ({sys.executable})")


def _libvirt() -> Finding:
    try:
        import libvirt
    except ImportError as error:
        fix = f"{sys.executable} -m pip install libvirt-python"
        return findings.missing("libvirt", f"its Python module cannot be loaded: {error}", package="libvirt0", fix=fix)
    version = libvirt.getVersion()
    return findings.good("libvirt", f"{version // 1_000_000}.{version // 1_000 % 1_000}.{version % 1_000}")


def _embedded_driver() -> Finding:
    chosen = os.environ.get("LIBVIRT_DRIVER_DIR")
    candidates = [Path(chosen) / Path(_DRIVER).name] if chosen else [Path(folder) / _DRIVER for folder in _LIBRARY_DIRS]
    for path in candidates:
        if path.exists():
            return findings.good("libvirt's QEMU driver", str(path))
    detail = "not installed; compute_svc embeds it"
    return findings.missing("libvirt's QEMU driver", detail, package="libvirt-daemon-driver-qemu")


def _system_libvirt() -> Finding:
    if Path("/run/libvirt/libvirt-sock").exists():
        return findings.good("libvirtd", "/run/libvirt/libvirt-sock")
    detail = "does not listen at /run/libvirt/libvirt-sock"
    return findings.missing("libvirtd", detail, package="libvirt-daemon-system", fix="systemctl start libvirtd")


def _tool(program: str, purpose: str, package: str) -> Finding:
    # Programs of the system are not on everybody's path, but on that of the services.
    path = shutil.which(program, path=os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin")))
    if path is None:
        return findings.missing(program, f"not installed; needed for {purpose}", package=package)
    return findings.good(program, path)


def _reaper() -> Finding:
    """Whether process 1 reaps: libvirt waits for that when it destroys a guest that no supervisor inherited."""
    lasting = _unreaped()
    if lasting:
        time.sleep(_REAPING_SECONDS)
        lasting &= _unreaped()
    if not lasting:
        return findings.good("process 1", "reaps what is left to it")
    detail = f"does not reap ({len(lasting)} zombies): a guest that outlives `protostar up` cannot be destroyed quickly"
    return findings.warning("process 1", detail, "run the container with --init, or under tini -s")


def _unreaped() -> set[int]:
    """Zombies whose parent is process 1."""
    found = set()
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            with contextlib.suppress(OSError):
                state, parent = (process / "stat").read_text().rpartition(")")[2].split()[:2]
                if state == "Z" and parent == "1":
                    found.add(int(process.name))
    return found


def _cpu_flags() -> frozenset[str]:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("flags"):
                return frozenset(line.partition(":")[2].split())
    return frozenset()
