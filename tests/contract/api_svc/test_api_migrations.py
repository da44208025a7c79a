from __future__ import annotations

import asyncio

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection

from api_svc.adapters.schema import metadata
from api_svc.bootstrap import MIGRATIONS
from svckit.database import Database
from svckit.migrate import migrate


async def test_migrations_make_what_the_tables_say(database_url: str) -> None:
    await migrate(database_url, MIGRATIONS)
    await migrate(database_url, MIGRATIONS)
    await _check(database_url)


async def test_replicas_may_migrate_at_the_same_time(postgres_url: str) -> None:
    await asyncio.gather(*(migrate(postgres_url, MIGRATIONS) for _ in range(3)))
    await _check(postgres_url)


async def _check(url: str) -> None:
    database = Database(url)
    async with database.transaction() as connection:
        assert await connection.run_sync(_differences) == []
    await database.close()


def _differences(connection: Connection) -> list[object]:
    return list(compare_metadata(MigrationContext.configure(connection, {"compare_type": True}), metadata))
