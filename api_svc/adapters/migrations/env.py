"""Runs the migrations, all of them in one transaction, on SQLite and PostgreSQL.

Replicas that start at the same time pass one after the other: PostgreSQL by an advisory lock, SQLite by its write lock.
"""

from __future__ import annotations

from typing import Any

from alembic import context
from sqlalchemy import Engine, create_engine, event, make_url, text
from sqlalchemy.pool import NullPool

from api_svc.adapters.schema import metadata

_LOCK = 7_020_101  # any number that no other schema of the same database uses


def _engine() -> Engine:
    url = make_url(context.config.get_main_option("sqlalchemy.url") or "")
    if url.get_backend_name() != "sqlite":
        return create_engine(url, poolclass=NullPool)
    engine = create_engine(url.set(drivername="sqlite"), poolclass=NullPool, connect_args={"timeout": 60})
    event.listen(engine, "connect", _manual_begin)
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    return engine


def _manual_begin(connection: Any, _record: object) -> None:
    # By itself the driver begins no transaction before CREATE TABLE: a crash would leave half a schema.
    connection.isolation_level = None


engine = _engine()
with engine.begin() as connection:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    context.configure(connection=connection, target_metadata=metadata)
    context.run_migrations()
