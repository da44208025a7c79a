"""The embedded QEMU driver's root: what libvirt has to find there before it is opened.

`qemu:///embed?root=DIR` runs the whole driver in this process. It must not ask for virtlogd, which nobody started, and
as root it must not try to become another user or to use a security driver that a container does not have.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import signal
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import structlog

from svckit.errors import FailedPrecondition
from svckit.files import write_atomically

log = structlog.get_logger(__name__)

_MARK = "# Written by Protostar at each start; remove this line to keep your own changes.\n"
# sun_path has 108 bytes, one for the final NUL. libvirt cuts a domain's name to 20 characters in
# ROOT/lib/qemu/domain-<id>-<name>/monitor.sock; ids of five digits leave room for years of starts.
_LONGEST_SOCKET = 107
# Not parsed as XML: a power cut may have left a status torn or empty, and that must not keep us from starting.
_UNBORN = re.compile(r"<domstatus\b[^>]*\bpid='0'")
_MONITOR_FOLDER = re.compile(r"<monitor path='[^']*/(domain-[^/']+)/monitor\.sock'")
_MONITOR = "/lib/qemu/domain-99999-" + 20 * "x" + "/monitor.sock"
_AGENT = "/lib/qemu/channel/target/domain-99999-" + 20 * "x" + "/org.qemu.guest_agent.0"


def root_of(uri: str) -> Path | None:
    """The root in an embed URI; None for any other URI."""
    parts = urlsplit(uri)
    if parts.path != "/embed":
        return None
    root = parse_qs(parts.query).get("root", [""])[0]
    if not root.startswith("/"):
        raise FailedPrecondition(
            f"{uri} needs an absolute root, as in qemu:///embed?root=/var/lib/protostar/libvirt",
            reason="LIBVIRT_ROOT_INVALID",
        )
    return Path(root)


def fits_guest_agent(root: Path) -> bool:
    """Whether the sockets of guest agents fit as well: their names are longer than all others."""
    return len(os.fsencode(root)) + len(_AGENT) <= _LONGEST_SOCKET


def prepare(root: Path) -> None:
    """Write the root's qemu.conf.

    :raise FailedPrecondition: LIBVIRT_ROOT_TOO_LONG; no guest could start, and libvirt would say so only then.
    """
    longest = _LONGEST_SOCKET - len(_MONITOR)
    length = len(os.fsencode(root))
    if length > longest:
        raise FailedPrecondition(
            f"the path {root} has {length} bytes, and QEMU's sockets below it fit only if it has at most {longest}; "
            "choose a shorter PROTOSTAR_DATA_DIR, or name a shorter root in PROTOSTAR_LIBVIRT_URI",
            reason="LIBVIRT_ROOT_TOO_LONG",
            metadata={"root": str(root), "longest": str(longest)},
        )
    folder = root / "etc"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "qemu.conf"
    if not path.exists() or path.read_text().startswith(_MARK):
        write_atomically(path, (_MARK + _conf()).encode(), durable=False, mode=0o644)


def forget_unborn(root: Path) -> None:
    """Have libvirt not believe in guests that it was about to start when its process was killed.

    Between noting a guest as starting and knowing the pid of its QEMU libvirt leaves a status with pid 0. It never
    comes back to such a guest (qemuProcessReconnectHelper), which stays PAUSED and cannot be ended either, since its
    job never is. There is no QEMU: one that was forked waits for libvirt to note its pid, and ends when that is dead.
    """
    with contextlib.suppress(FileNotFoundError), (root / "run/qemu/driver.pid").open("r+") as lock:
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return  # somebody else has the root open; opening it will say so
        for status in root.glob("run/qemu/instance-*.xml"):
            text = status.read_text(errors="replace")
            if _UNBORN.search(text):
                _forget(root, status, text)


def _forget(root: Path, status: Path, text: str) -> None:
    if folder := _MONITOR_FOLDER.search(text):
        shutil.rmtree(root / "lib/qemu" / folder[1], ignore_errors=True)
        shutil.rmtree(root / "lib/qemu/channel/target" / folder[1], ignore_errors=True)
    status.with_suffix(".pid").unlink(missing_ok=True)
    status.unlink()
    log.warning("unborn_guest_forgotten", domain=status.stem)


def end_probes(root: Path) -> None:
    """End emulators that a killed process of ours had started only to ask what they can do; libvirt never looks again.

    Only while this process holds the root, and before it asks itself.
    """
    for folder in root.glob("lib/qemu/qmp-*"):
        with contextlib.suppress(OSError, ValueError):
            pid = int((folder / "qmp.pid").read_text())
            if os.fsencode(folder) in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(folder, ignore_errors=True)


def _conf() -> str:
    settings = {"stdio_handler": "file", "security_driver": "none"}
    if os.geteuid() == 0:
        settings |= {"user": "root", "group": "root"}
    return "".join(f'{name} = "{value}"\n' for name, value in settings.items())
