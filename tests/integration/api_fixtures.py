"""Fixtures for api_svc over fake peers."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from api_svc.bootstrap import MIGRATIONS
from svckit.migrate import upgrade
from tests.fakes.api_peers import Peers
from tests.integration.api_door import Door, eventually, host_is_up, serving, settings_for


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty SQLite database of api_svc, migrated once."""
    path = tmp_path_factory.mktemp("migrated") / "api.sqlite3"
    upgrade(f"sqlite+aiosqlite:///{path}", MIGRATIONS)
    return path


@pytest.fixture
def data(migrated: Path, tmp_path: Path) -> Path:
    """A data directory that has such a database already."""
    shutil.copy(migrated, tmp_path / "api.sqlite3")
    return tmp_path


@pytest.fixture
async def peers() -> AsyncIterator[Peers]:
    async with Peers() as running:
        yield running


@pytest.fixture
async def door(data: Path, peers: Peers) -> AsyncIterator[Door]:
    """A replica that knows its host."""
    async with serving(settings_for(data, peers), peers) as opened:
        await eventually(lambda: host_is_up(opened))
        yield opened
