"""The services, and instances to try them with."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.arena import Arena
from tests.chaos.wave import Field, field_of, field_on


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "full: only with --full-matrix, which `make chaos FULL=1` gives")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """`make test` has five minutes for chaos; what it leaves out is left to the long run."""
    if config.getoption("--full-matrix"):
        return
    left_out = [item for item in items if item.get_closest_marker("full")]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="session")
def empty_image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A disk with nothing on it."""
    path = tmp_path_factory.mktemp("image") / "empty.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", path, "16M"], check=True)
    return path


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.full)])
def ground(request: pytest.FixtureRequest, empty_image: Path) -> Iterator[Field]:
    """On libvirt's test driver, for breadth, and on both databases."""
    if request.param == "sqlite":
        with field_of(Arena(), empty_image) as field:
            yield field
        return
    with field_on(request.getfixturevalue("postgres"), empty_image) as field:
        yield field
