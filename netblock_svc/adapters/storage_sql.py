"""Transactions over all tables, on SQLite and PostgreSQL."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from netblock_svc.adapters.addresses_sql import SqlAddresses
from netblock_svc.adapters.fences_sql import SqlFences
from netblock_svc.adapters.networks_sql import SqlNetworks
from netblock_svc.adapters.ports_sql import SqlPorts
from netblock_svc.adapters.volumes_sql import SqlVolumes
from netblock_svc.domain import refusals
from netblock_svc.ports import Addresses, Fences, Networks, Ports, UnitOfWork, Volumes
from svckit.database import Database

T = TypeVar("T")
_ATTEMPTS = 5


class SqlStorage:
    """The `Storage` of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def change(self, work: Callable[[UnitOfWork], Awaitable[T]], *, dry_run: bool = False) -> T:
        for _ in range(_ATTEMPTS):
            try:
                async with self._database.transaction() as connection:
                    result = await work(self._unit(connection))
                    if dry_run:
                        await connection.rollback()
                    return result
            except IntegrityError as error:
                # Somebody else inserted first, and the constraint saw it: the next look sees it, too.
                collision = error
        raise refusals.concurrent_update("a network, port or volume") from collision

    @contextlib.asynccontextmanager
    async def reading(self) -> AsyncIterator[UnitOfWork]:
        async with self._database.reading() as connection:
            yield self._unit(connection)

    def _unit(self, connection: AsyncConnection) -> UnitOfWork:
        return SqlUnitOfWork(connection, is_sqlite=self._database.is_sqlite)


class SqlUnitOfWork:
    """The `UnitOfWork` of one connection."""

    def __init__(self, connection: AsyncConnection, *, is_sqlite: bool) -> None:
        self.networks: Networks = SqlNetworks(connection)
        self.addresses: Addresses = SqlAddresses(connection)
        self.ports: Ports = SqlPorts(connection)
        self.volumes: Volumes = SqlVolumes(connection)
        self.fences: Fences = SqlFences(connection)
        self._connection = connection
        self._is_sqlite = is_sqlite

    async def lock_instance(self, instance: str) -> None:
        # Instances have no row here. SQLite needs no lock: its transactions that write come one after the other.
        if not self._is_sqlite:
            await self._connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(instance, 0))))
