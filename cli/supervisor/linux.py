"""What Linux offers to those who look after processes."""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_LIBC = ctypes.CDLL(None, use_errno=True)


def become_subreaper() -> None:
    """Orphans among this process's descendants fall to it instead of to PID 1.

    QEMU is such an orphan; libvirt's destroy waits until somebody has reaped it (measured: 2 s under a lazy PID 1).
    """
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent(parent: int) -> None:
    """Have the kernel send this process SIGTERM when its parent dies; call it in the child, with its parent's pid."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it died before the kernel was asked
        os.kill(os.getpid(), signal.SIGTERM)


def _prctl(option: int, value: int) -> None:
    if _LIBC.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option}) failed")


def wait_for_end(pid: int, seconds: float) -> bool:
    """Wait until a process, of whatever parent, is gone; False when it is still there after `seconds`."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], seconds)[0])
    finally:
        os.close(descriptor)


def resident_bytes(pid: int) -> int | None:
    """Resident memory of a process; None when it is gone."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    return None


def command_of(pid: int) -> str:
    """A process's command line; empty when it is gone or hidden."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    return ""


def owner_of_socket(inode: str) -> int | None:
    """The process that has a socket open; None when there is none that we may see."""
    wanted = f"socket:[{inode}]"
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and _has_open(process, wanted):
            return int(process.name)
    return None


def _has_open(process: Path, wanted: str) -> bool:
    with contextlib.suppress(OSError):
        return any(_link(entry) == wanted for entry in (process / "fd").iterdir())
    return False


def _link(entry: Path) -> str:
    with contextlib.suppress(OSError):
        return str(entry.readlink())
    return ""
