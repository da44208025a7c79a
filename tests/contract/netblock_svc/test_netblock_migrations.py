from __future__ import annotations

import asyncio
from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection

import netblock_svc.adapters
from netblock_svc.adapters.tables import METADATA
from svckit.database import Database
from svckit.migrate import migrate

SCRIPTS = Path(netblock_svc.adapters.__file__).parent / "migrations"


async def test_migrations_make_what_the_tables_say(database_url: str) -> None:
    await migrate(database_url, SCRIPTS)
    await migrate(database_url, SCRIPTS)
    database = Database(database_url)
    async with database.transaction() as connection:
        assert await connection.run_sync(_differences) == []
    await database.close()


async def test_replicas_may_migrate_at_the_same_time(postgres_url: str) -> None:
    await asyncio.gather(*(migrate(postgres_url, SCRIPTS) for _ in range(3)))
    database = Database(postgres_url)
    async with database.transaction() as connection:
        assert await connection.run_sync(_differences) == []
    await database.close()


def _differences(connection: Connection) -> list[object]:
    return list(compare_metadata(MigrationContext.configure(connection, {"compare_type": True}), METADATA))
