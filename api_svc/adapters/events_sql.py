"""Events in SQL, in commit order.

A sequence alone does not give that: a transaction may take number 7, another take 8 and commit first, and a reader who
has seen 8 never sees 7. SQLite has one writer. On PostgreSQL a number is taken under a lock that is held until commit.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from api_svc.adapters.schema import events, instances
from api_svc.domain.event import Event

_TABLE = events.c
_COLUMNS = tuple(column for column in events.columns if column is not _TABLE.seq)
_ADD = insert(events)
_TURN_KEY = 0x70726F746F73
_TURN = select(func.pg_advisory_xact_lock(_TURN_KEY).label("turn")).cte("turn").prefix_with("MATERIALIZED")
# The default of `seq` is computed for rows that come out of `turn`, so after the lock is had.
_ADD_IN_TURN = insert(events).from_select(
    [column.name for column in _COLUMNS],
    select(*(bindparam(f"new_{column.name}", type_=column.type) for column in _COLUMNS)).select_from(_TURN),
)
_WITH_USER_DATA = select(events, instances.c.user_data).outerjoin_from(
    events, instances, instances.c.uid == _TABLE.instance_uid
)
_BOUNDS = select(
    select(func.min(_TABLE.seq)).scalar_subquery().label("oldest"),
    select(func.max(_TABLE.seq)).scalar_subquery().label("newest"),
)


class SqlEvents:
    """See `ports.Events`."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self._in_turn = connection.dialect.name == "postgresql"

    async def add(self, event: Event) -> None:
        assert event.instance is not None
        values = {
            "type": event.type,
            "time": event.time,
            "instance_uid": event.instance.uid,
            "project": event.instance.project,
            "instance": event.instance,
            "operation": event.operation,
            "error": event.error,
            "trace_id": event.trace_id,
        }
        if self._in_turn:
            await self._connection.execute(_ADD_IN_TURN, {f"new_{name}": value for name, value in values.items()})
        else:
            await self._connection.execute(_ADD, values)

    async def after(self, seq: int, limit: int, scope: str | None, instance: str) -> list[Event]:
        query = _WITH_USER_DATA.where(_TABLE.seq > seq).order_by(_TABLE.seq).limit(limit)
        if scope is not None:
            query = query.where(_TABLE.project == scope)
        if instance:
            query = query.where(_TABLE.instance_uid == instance)
        return [_event(row) for row in await self._connection.execute(query)]

    async def bounds(self) -> tuple[int, int]:
        row = (await self._connection.execute(_BOUNDS)).one()
        return row.oldest or 0, row.newest or 0

    async def prune(self, before: datetime, limit: int) -> int:
        newest = select(func.max(_TABLE.seq)).scalar_subquery()
        oldest = select(_TABLE.seq).order_by(_TABLE.seq).limit(limit)
        gone = delete(events).where(_TABLE.seq.in_(oldest), _TABLE.time < before, _TABLE.seq < newest)
        return (await self._connection.execute(gone)).rowcount


def _event(row: Any) -> Event:
    return Event(
        seq=row.seq,
        type=row.type,
        time=row.time,
        instance=replace(row.instance, user_data=row.user_data) if row.user_data else row.instance,
        operation=row.operation,
        error=row.error,
        trace_id=row.trace_id,
    )
