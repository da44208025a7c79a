"""The database as the use cases see it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from functools import cached_property

from sqlalchemy.ext.asyncio import AsyncConnection

from api_svc.adapters.events_sql import SqlEvents
from api_svc.adapters.hosts_sql import SqlHosts
from api_svc.adapters.instances_sql import SqlInstances
from api_svc.adapters.operations_sql import SqlOperations
from svckit.database import Database


class SqlSession:
    """See `ports.Session`."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    @cached_property
    def instances(self) -> SqlInstances:
        return SqlInstances(self._connection)

    @cached_property
    def operations(self) -> SqlOperations:
        return SqlOperations(self._connection)

    @cached_property
    def events(self) -> SqlEvents:
        return SqlEvents(self._connection)

    @cached_property
    def hosts(self) -> SqlHosts:
        return SqlHosts(self._connection)


class SqlStore:
    """See `ports.Store`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[SqlSession]:
        async with self._database.transaction() as connection:
            yield SqlSession(connection)

    @contextlib.asynccontextmanager
    async def reading(self) -> AsyncIterator[SqlSession]:
        async with self._database.reading() as connection:
            yield SqlSession(connection)
