"""A service's database: SQLite in WAL mode, embedded, or PostgreSQL; one span per transaction.

    async with database.transaction() as tx:   BEGIN … COMMIT, rolled back on any exception
    async with database.reading() as tx:       single statements, each its own snapshot (autocommit)

Every transaction span carries `protostar.statements`, so that a trace tells what a request cost.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from opentelemetry import trace
from opentelemetry.trace import SpanKind
from opentelemetry.util.types import AttributeValue
from sqlalchemy import event, make_url
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from svckit import tracing
from svckit.errors import Unavailable
from svckit.sqlite import OneTrip

_NO_BEGIN = "protostar_no_begin"


# A replica that hangs in a transaction, and does not die, must not keep its locks from all the others.
_NO_IDLERS = "-c idle_in_transaction_session_timeout=15s"


class Database:
    """One engine. Errors of an absent, locked or full database are raised as Unavailable, STORAGE_UNAVAILABLE."""

    def __init__(self, url: str) -> None:
        self.url = make_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self._engine = _engine(url, self.is_sqlite)
        # On SQLite leaving BEGIN away is enough; changing the isolation level would cost two more trips to its thread.
        self._autocommit = {_NO_BEGIN: True} if self.is_sqlite else {"isolation_level": "AUTOCOMMIT"}
        # SQLite has one writer; queueing here wakes the next at once, where its own busy handler would sleep.
        self._writer: contextlib.AbstractAsyncContextManager[Any] = (
            asyncio.Lock() if self.is_sqlite else contextlib.nullcontext()
        )

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """All of it or nothing."""
        async with self._writer:
            with self._span("TRANSACTION"), _storage_errors():
                async with self._engine.connect() as connection, connection.begin():
                    yield connection

    @contextlib.asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """Reads that need no common snapshot."""
        with self._span("SELECT"), _storage_errors():
            async with self._engine.connect() as connection:
                await connection.execution_options(**self._autocommit)
                yield connection

    async def check(self) -> None:
        """Whether it answers. :raise Unavailable: it does not."""
        async with self.reading() as connection:
            await connection.exec_driver_sql("SELECT 1")

    async def close(self) -> None:
        """Give every connection back."""
        await self._engine.dispose()

    def _span(self, operation: str) -> contextlib.AbstractContextManager[Any]:
        name = Path(self.url.database or "").stem
        attributes: dict[str, AttributeValue] = {
            "db.system.name": self.url.get_backend_name(),
            "db.namespace": name,
            "db.operation.name": operation,
            "protostar.statements": 0,
        }
        return tracing.span(f"{operation} {name}", attributes, kind=SpanKind.CLIENT)


@contextlib.contextmanager
def _storage_errors() -> Any:
    try:
        yield
    except (OperationalError, InterfaceError) as error:
        raise _unavailable(error.orig) from error
    except PoolTimeout as error:
        raise _unavailable("every connection to it is busy") from error
    except DBAPIError as error:
        if error.connection_invalidated:
            raise _unavailable(error.orig) from error
        raise


def _unavailable(why: object) -> Unavailable:
    return Unavailable(
        f"the database does not answer: {why}; nothing was changed, retry",
        reason="STORAGE_UNAVAILABLE",
        retry_after=1.0,
    )


def _engine(url: str, is_sqlite: bool) -> AsyncEngine:
    if is_sqlite:
        Path(make_url(url).database or "").parent.mkdir(parents=True, exist_ok=True)
        engine = create_async_engine(url, module=OneTrip(), connect_args={"timeout": 5.0}, pool_size=4, max_overflow=0)
        event.listen(engine.sync_engine, "connect", _prepare_sqlite)
        event.listen(engine.sync_engine, "begin", _begin_immediate)
    else:
        engine = create_async_engine(
            url, pool_size=8, max_overflow=8, pool_pre_ping=True, pool_timeout=5, connect_args={"options": _NO_IDLERS}
        )
    event.listen(engine.sync_engine, "before_cursor_execute", _count_statement)
    return engine


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # BEGIN is ours, see _begin_immediate
    cursor = connection.cursor()
    # FULL: a commit is on disk before it is answered; an accepted operation survives power loss.
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=5000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_immediate(connection: Any) -> None:
    """Take the write lock at BEGIN: a transaction that reads first and writes later can then not fail half-way."""
    if _NO_BEGIN not in connection.get_execution_options():
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _count_statement(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
    if statement.startswith("BEGIN"):
        return
    span = trace.get_current_span()
    attributes = getattr(span, "attributes", None)
    if attributes and "protostar.statements" in attributes:
        span.set_attribute("protostar.statements", attributes["protostar.statements"] + 1)
