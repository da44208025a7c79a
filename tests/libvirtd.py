"""A libvirtd of the tests' own, on machines without an init system."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
import time
from collections.abc import Iterator

_SECONDS = 60
# Where QEMU's user may not open /dev/kvm and root may, libvirt finds its knowledge of every emulator outdated each time
# it looks, which is several times a start, and gathers it anew for 4 s. In libvirtd's own view of /dev everybody may.
_LIBVIRTD = """
if [ -c /dev/kvm ]; then
    mount -t tmpfs none "$1" && cp -a /dev/kvm "$1" && chmod 666 "$1/kvm" && mount --bind "$1/kvm" /dev/kvm
fi
exec /usr/sbin/libvirtd
"""


class Libvirtd:
    """libvirtd and virtlogd, as a context manager; libvirtd may be killed and started again meanwhile."""

    def __enter__(self) -> Libvirtd:
        self._folder = tempfile.TemporaryDirectory()
        self._log = _spawn("/usr/sbin/virtlogd")
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        for process in (self.process, self._log):
            process.terminate()
            process.wait(30)
        self._folder.cleanup()

    def start(self) -> None:
        """Until it answers."""
        self.process = _spawn("unshare", "--mount", "sh", "-euc", _LIBVIRTD, "sh", self._folder.name)
        deadline = time.monotonic() + _SECONDS
        while not answers():
            assert self.process.poll() is None, f"libvirtd has ended: {self.process.returncode}"
            assert time.monotonic() < deadline, f"libvirtd does not answer after {_SECONDS} s"
            time.sleep(0.05)

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.wait(30)


@contextlib.contextmanager
def some_libvirtd() -> Iterator[None]:
    """One that runs already is used and left alone."""
    if answers():
        yield
        return
    with Libvirtd():
        yield


def answers() -> bool:
    """Whether there is one."""
    return bool(virsh("uri"))


def virsh(*arguments: str) -> str:
    """What libvirtd says, "" when it refuses. Asked by a program of its own: what other tests have done to libvirt in
    this process must not matter."""
    command = ["virsh", "--quiet", "--connect", "qemu:///system", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stdout


def _spawn(*command: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
