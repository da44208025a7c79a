"""Bring a service's schema up to date with its alembic migrations.

Revisions are named by their files, versions/0001_words.py being revision "0001", so that an up-to-date database is
recognised without alembic. Where there is something to do, alembic does it in a process of its own: what it brings into
memory is needed once, by nobody later.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Engine, MetaData, create_engine, event, inspect, make_url, text
from sqlalchemy.pool import NullPool

from svckit import process
from svckit.database import Database

_SECONDS = 120.0


async def migrate(url: str, scripts: Path) -> None:
    """Upgrade to the newest revision, before anything else uses the database.

    On PostgreSQL several replicas may do so at once: an advisory lock lets them pass one after the other (see env.py).

    :raise Unavailable: STORAGE_UNAVAILABLE, the database does not answer.
    :raise Internal: TOOL_FAILED, a migration failed; the database is as it was before that migration.
    """
    head = max(path.name.partition("_")[0] for path in (scripts / "versions").glob("[0-9]*.py"))
    if await _revision(url) != head:
        command = [sys.executable, "-m", "svckit.migrate", str(scripts)]
        await process.run(command, seconds=_SECONDS, stdin=url.encode())  # not an argument: it may hold a password


async def _revision(url: str) -> str | None:
    database = Database(url)
    try:
        async with database.reading() as connection:
            if not await connection.run_sync(lambda sync: inspect(sync).has_table("alembic_version")):
                return None
            found: str | None = await connection.scalar(text("SELECT version_num FROM alembic_version"))
            return found
    finally:
        await database.close()


def upgrade(url: str, scripts: Path) -> None:
    """What the process of its own does. Blocks."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(scripts))
    config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    command.upgrade(config, "head")


def run(metadata: MetaData, *, lock: int) -> None:
    """What a service's env.py does: the migrations, all of them in one transaction.

    Replicas that start at the same time pass one after the other: PostgreSQL by the advisory lock `lock`, a number that
    no other schema of the same database uses; SQLite by its write lock.
    """
    from alembic import context

    with _engine(make_url(context.config.get_main_option("sqlalchemy.url") or "")).begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": lock})
        context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
        context.run_migrations()


def _engine(url: URL) -> Engine:
    if url.get_backend_name() != "sqlite":
        return create_engine(url, poolclass=NullPool)
    engine = create_engine(url.set(drivername="sqlite"), poolclass=NullPool, connect_args={"timeout": 60})
    event.listen(engine, "connect", _manual_begin)
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    return engine


def _manual_begin(connection: Any, _record: object) -> None:
    # By itself the driver begins no transaction before CREATE TABLE: a crash would leave half a schema.
    connection.isolation_level = None


if __name__ == "__main__":
    upgrade(sys.stdin.read(), Path(sys.argv[1]))
