"""Real guests: the four services as processes, libvirt's QEMU driver, and the guest image of `make guest`."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.client import Client
from tests.stack import ROOT, Stack

BACKENDS = {"embed": "qemu:///embed?root=ROOT", "system": "qemu:///system"}


@pytest.fixture(scope="session")
def guest_image() -> Path:
    image = ROOT / "build/guest.qcow2"
    assert image.exists(), "build/guest.qcow2 is missing: run `make guest`"
    return image


@pytest.fixture(scope="module", params=list(BACKENDS))
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each module runs on libvirt inside compute_svc, then on libvirtd, which is started if it does not run."""
    with contextlib.ExitStack() as stack:
        if request.param == "system":
            stack.enter_context(libvirtd())
        yield request.param


@pytest.fixture(scope="module")
def stack(backend: str) -> Iterator[Stack]:
    with Stack(libvirt_uri=BACKENDS[backend]) as running:
        # libvirtd's QEMU runs as another user and must reach the disks.
        running.folder.chmod(0o711)
        yield running


@pytest.fixture(scope="module")
def client(stack: Stack) -> Iterator[Client]:
    connected = Client(stack.addresses["api_svc"])
    yield connected
    connected.close()


@contextlib.contextmanager
def libvirtd() -> Iterator[None]:
    """libvirtd and virtlogd without an init system; one that runs already is used and left alone."""
    if _answers():
        yield
        return
    daemons = [subprocess.Popen([name], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for name in _DAEMONS]
    try:
        deadline = time.monotonic() + 60
        while not _answers():
            ended = [daemon.args for daemon in daemons if daemon.poll() is not None]
            assert time.monotonic() < deadline, f"libvirtd does not answer after 60 s; of ours, these ended: {ended}"
            time.sleep(0.1)
        yield
    finally:
        for daemon in reversed(daemons):
            daemon.terminate()
            daemon.wait(30)


_DAEMONS = ("/usr/sbin/virtlogd", "/usr/sbin/libvirtd")


def _answers() -> bool:
    """Asked by a program of its own: what other tests did to libvirt in this process must not matter."""
    return (
        subprocess.run(["virsh", "-c", "qemu:///system", "version"], capture_output=True, check=False).returncode == 0
    )
