"""Hosts in SQL."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from api_svc.adapters.schema import hosts, instances
from api_svc.domain.host import Facts, Host, Usage
from api_svc.domain.query import Page
from api_svc.domain.states import HostState, VmState
from svckit.clock import Window

_TABLE = hosts.c
_USED = (
    select(
        instances.c.host,
        func.count().label("used_instances"),
        func.sum(instances.c.vcpus).label("used_vcpus"),
        func.sum(instances.c.memory_mib).label("used_memory_mib"),
    )
    .where(instances.c.vm_state != VmState.DELETED)
    .group_by(instances.c.host)
    .subquery()
)
_WITH_USAGE = select(
    hosts,
    func.coalesce(_USED.c.used_instances, 0).label("used_instances"),
    func.coalesce(_USED.c.used_vcpus, 0).label("used_vcpus"),
    func.coalesce(_USED.c.used_memory_mib, 0).label("used_memory_mib"),
).outerjoin_from(hosts, _USED, _TABLE.name == _USED.c.host)
_FACTS = select(_TABLE.facts).where(_TABLE.name == bindparam("wanted"))
_BY_NAME = update(hosts).where(_TABLE.name == bindparam("key"))
_SILENCE = _BY_NAME.where(
    _TABLE.state == HostState.UP, ~_TABLE.last_seen.between(bindparam("first"), bindparam("last"))
)


class SqlHosts:
    """See `ports.Hosts`."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def find(self, name: str) -> Host | None:
        row = (await self._connection.execute(_WITH_USAGE.where(_TABLE.name == name))).one_or_none()
        return _with_usage(row) if row else None

    async def page(self, page: Page) -> tuple[list[Host], bool]:
        query = _WITH_USAGE.order_by(_TABLE.name).limit(page.size + 1)
        if page.after is not None:
            query = query.where(_TABLE.name > page.after[0])
        rows = (await self._connection.execute(query)).all()
        return [_with_usage(row) for row in rows[: page.size]], len(rows) > page.size

    async def lock_all(self) -> list[Host]:
        # On SQLite the transaction is the only writer already, and FOR UPDATE is left out.
        await self._connection.execute(select(_TABLE.name).with_for_update())
        return [_with_usage(row) for row in await self._connection.execute(_WITH_USAGE)]

    async def boot_id(self, name: str) -> str | None:
        facts = (await self._connection.execute(_FACTS, {"wanted": name})).scalar_one_or_none()
        return facts.boot_id if facts else None

    async def register(self, facts: Facts, address: str, at: datetime) -> None:
        values = {"address": address, "state": HostState.UP, "last_seen": at, "facts": facts}
        if (await self._connection.execute(_BY_NAME, {"key": facts.name, **values})).rowcount == 1:
            return
        try:
            async with self._connection.begin_nested():
                await self._connection.execute(insert(hosts), {"name": facts.name, **values})
        except IntegrityError:  # another replica was faster
            await self._connection.execute(_BY_NAME, {"key": facts.name, **values})

    async def seen(self, name: str, at: datetime) -> None:
        await self._connection.execute(_BY_NAME, {"key": name, "state": HostState.UP, "last_seen": at})

    async def silence(self, name: str, fresh: Window) -> bool:
        values = {"key": name, "first": fresh.first, "last": fresh.last, "state": HostState.SILENT}
        return (await self._connection.execute(_SILENCE, values)).rowcount == 1


def host_of(row: Any) -> Host:
    """The host of a row that has the columns of its table."""
    return Host(facts=row.facts, address=row.address, last_seen=row.last_seen, state=HostState(row.state))


def _with_usage(row: Any) -> Host:
    usage = Usage(instances=row.used_instances, vcpus=int(row.used_vcpus), memory_mib=int(row.used_memory_mib))
    return Host(facts=row.facts, address=row.address, last_seen=row.last_seen, state=HostState(row.state), usage=usage)
