"""The four services as processes over real sockets, with libvirt's test driver behind them."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from protostar.api.v1 import image_pb2

from tests.client import Client
from tests.integration.api_fixtures import data, door, migrated, peers
from tests.stack import Stack

__all__ = ["data", "door", "migrated", "peers"]


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """One set of services for a module; tests use instances of their own."""
    with Stack() as running:
        yield running


@pytest.fixture(scope="module")
def client(stack: Stack) -> Iterator[Client]:
    connected = Client(stack.addresses["api_svc"])
    yield connected
    connected.close()


@pytest.fixture(scope="module")
def image(client: Client, tmp_path_factory: pytest.TempPathFactory) -> image_pb2.Image:
    """An image that qemu-img is content with; the test driver never reads it."""
    path = tmp_path_factory.mktemp("image") / "empty.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", path, "16M"], check=True)
    return client.import_image(Path(path), "empty")
