"""The services, and instances to try them with."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.arena import Arena
from tests.chaos.wave import Field, field_of


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
