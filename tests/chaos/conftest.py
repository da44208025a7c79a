"""The services, and instances to try them with."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.chaos.arena import Arena
from tests.chaos.hypervisors import of
from tests.chaos.invariants import Scene
from tests.chaos.wave import Field
from tests.client import Client


@contextlib.contextmanager
def field_of(arena: Arena, image: Path, urls: Mapping[str, str] | None = None) -> Iterator[Field]:
    """A running arena with an image in it."""
    with arena:
        client = Client(arena.addresses["api_svc"])
        imported = client.import_image(image).name
        try:
            yield Field(arena, client, Scene(arena.data, of(arena), urls or {}), imported)
        finally:
            client.close()


@pytest.fixture(scope="session")
def empty_image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A disk with nothing on it."""
    path = tmp_path_factory.mktemp("image") / "empty.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", path, "16M"], check=True)
    return path


@pytest.fixture(scope="module")
def ground(empty_image: Path) -> Iterator[Field]:
    """On libvirt's test driver, for breadth."""
    with field_of(Arena(), empty_image) as field:
        yield field
