"""The database room, on SQLite and on a real PostgreSQL."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import text

from svckit.database import Database
from svckit.errors import Unavailable
from svckit.migrate import migrate

ENV = """
from sqlalchemy import MetaData
from svckit.migrate import run
run(MetaData(), lock=1)
"""
REVISION = """
import sqlalchemy as sa
from alembic import op
revision, down_revision = "{0}", {1}
def upgrade():
    op.create_table("table_{0}", sa.Column("a", sa.Integer))
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path}/folder/kit.sqlite3"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    opened = Database(url)
    async with opened.transaction() as tx:
        await tx.execute(text("CREATE TABLE numbers (n INTEGER)"))
    yield opened
    await opened.close()


async def _count(database: Database) -> int:
    async with database.reading() as tx:
        return int(await tx.scalar(text("SELECT count(*) FROM numbers")) or 0)


async def test_a_failed_transaction_leaves_nothing(database: Database) -> None:
    with pytest.raises(ValueError, match="stop"):
        async with database.transaction() as tx:
            await tx.execute(text("INSERT INTO numbers VALUES (1)"))
            raise ValueError("stop")
    assert await _count(database) == 0


async def test_a_cancelled_transaction_leaves_nothing_and_the_next_one_works(database: Database) -> None:
    began = asyncio.Event()

    async def hang() -> None:
        async with database.transaction() as tx:
            await tx.execute(text("INSERT INTO numbers VALUES (1)"))
            began.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(hang())
    await began.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    async with database.transaction() as tx:
        await tx.execute(text("INSERT INTO numbers VALUES (2)"))
    assert await _count(database) == 1


async def test_many_writers_at_once_lose_nothing(database: Database) -> None:
    async def add(n: int) -> None:
        async with database.transaction() as tx:
            await tx.execute(text("SELECT count(*) FROM numbers"))
            await tx.execute(text("INSERT INTO numbers VALUES (:n)"), {"n": n})

    await asyncio.gather(*(add(n) for n in range(40)))
    assert await _count(database) == 40


async def test_migrate_goes_to_the_newest_revision_and_then_does_nothing(url: str, tmp_path: Path) -> None:
    scripts = tmp_path / "migrations"
    (scripts / "versions").mkdir(parents=True)
    (scripts / "env.py").write_text(ENV)
    (scripts / "versions/0001_first.py").write_text(REVISION.format("0001", None))
    await migrate(url, scripts)
    (scripts / "versions/0002_second.py").write_text(REVISION.format("0002", '"0001"'))
    await migrate(url, scripts)
    (scripts / "env.py").write_text("raise SystemExit('not needed')")
    await migrate(url, scripts)
    database = Database(url)
    async with database.reading() as tx:
        assert await tx.scalar(text("SELECT count(*) FROM table_0001")) == 0
        assert await tx.scalar(text("SELECT count(*) FROM table_0002")) == 0
    await database.close()


async def test_an_absent_database_is_unavailable_and_says_retry(tmp_path: Path) -> None:
    for url in ("postgresql+psycopg://nobody@127.0.0.1:1/none", f"sqlite+aiosqlite:///{tmp_path}"):
        database = Database(url)
        with pytest.raises(Unavailable) as caught:
            await database.check()
        assert caught.value.reason == "STORAGE_UNAVAILABLE" and caught.value.retry_after
        await database.close()


async def test_a_database_whose_connections_are_all_busy_is_unavailable(database: Database) -> None:
    database._engine.sync_engine.pool._timeout = 0.05  # type: ignore[attr-defined]
    async with contextlib.AsyncExitStack() as busy:
        with pytest.raises(Unavailable) as caught:
            for _ in range(20):
                await busy.enter_async_context(database.reading())
    assert caught.value.reason == "STORAGE_UNAVAILABLE" and caught.value.retry_after
    assert await _count(database) == 0
