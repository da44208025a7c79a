"""Real guests: the four services as processes, libvirt's QEMU driver, and the guest image of `make guest`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.client import Client
from tests.libvirtd import some_libvirtd
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
            stack.enter_context(some_libvirtd())
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
