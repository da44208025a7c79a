"""SQLite for SQLAlchemy's asyncio, with one trip to the connection's thread per statement.

The stock adapter makes four: open a cursor, execute, fetch, close; and one more to roll back nothing when a connection
goes back to its pool. A trip costs more than a small statement does.
"""

from __future__ import annotations

import collections
import sqlite3
from collections.abc import Callable
from typing import Any

import aiosqlite
from sqlalchemy.dialects.sqlite.aiosqlite import (
    AsyncAdapt_aiosqlite_connection,
    AsyncAdapt_aiosqlite_cursor,
    AsyncAdapt_aiosqlite_dbapi,
)
from sqlalchemy.util.concurrency import await_


class _Cursor(AsyncAdapt_aiosqlite_cursor):
    """Executes, fetches and closes in one go; what came out of it stays here."""

    __slots__ = ("_result", "arraysize")

    def __init__(self, adapt_connection: AsyncAdapt_aiosqlite_connection) -> None:
        self._adapt_connection = adapt_connection
        self._connection = adapt_connection._connection
        self._rows = collections.deque()
        self.arraysize = 1
        self._result: tuple[Any, int, int | None] = (None, -1, None)

    @property
    def description(self) -> Any:
        return self._result[0]

    @property
    def rowcount(self) -> int:
        return self._result[1]

    @property
    def lastrowid(self) -> Any:
        return self._result[2]

    def execute(self, operation: Any, parameters: Any = None) -> None:
        self._run(lambda cursor: cursor.execute(operation, parameters or ()))

    def executemany(self, operation: Any, seq_of_parameters: Any) -> None:
        self._run(lambda cursor: cursor.executemany(operation, seq_of_parameters))

    def close(self) -> None:
        self._rows.clear()

    async def _async_soft_close(self) -> None:
        """It is closed already."""

    def _run(self, work: Callable[[sqlite3.Cursor], object]) -> None:
        connection: Any = self._connection
        try:
            self._result, rows = await_(connection._execute(_trip, connection._conn, work))
        except Exception as error:
            self._adapt_connection._handle_exception(error)
        self._rows = collections.deque(rows)


def _trip(
    connection: sqlite3.Connection, work: Callable[[sqlite3.Cursor], object]
) -> tuple[tuple[Any, int, int | None], list[Any]]:
    """What is done in the connection's thread."""
    cursor = connection.cursor()
    try:
        work(cursor)
        rows = cursor.fetchall() if cursor.description else []
        return (cursor.description, cursor.rowcount, cursor.lastrowid), rows
    finally:
        cursor.close()


class _Connection(AsyncAdapt_aiosqlite_connection):
    __slots__ = ()

    _cursor_cls: Any = _Cursor

    def rollback(self) -> None:
        """No trip when there is nothing to roll back. Nobody else uses the connection meanwhile."""
        connection: Any = self._connection
        if connection._connection is not None and connection._conn.in_transaction:
            super().rollback()


class OneTrip(AsyncAdapt_aiosqlite_dbapi):
    """The driver: `create_async_engine(url, module=OneTrip())`."""

    def __init__(self) -> None:
        super().__init__(aiosqlite, sqlite3)

    def connect(self, *arguments: Any, **options: Any) -> AsyncAdapt_aiosqlite_connection:
        connected = super().connect(*arguments, **options)
        return _Connection(self, connected._connection)
