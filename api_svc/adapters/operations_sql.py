"""Operations in SQL: what was accepted, who has the lease of it, and how it ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, bindparam, delete, func, insert, or_, select, tuple_, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from api_svc.adapters.schema import instances, operations
from api_svc.domain.operation import Lease, Operation, Request, Result
from api_svc.domain.query import Page
from api_svc.domain.states import LONG_RUNNING, OPEN, OperationState, TaskState, Verb, WaitingFor
from svckit.clock import LONGEST_AHEAD
from svckit.errors import AlreadyExists
from svckit.listing import Comparison

_TABLE = operations.c
_IS_OPEN = _TABLE.state.in_(OPEN)
_VISIBLE = _TABLE.verb.in_(LONG_RUNNING)
# A result's instance is kept without its user_data, which is in the instance's own row for ever.
_WHOLE = select(operations, instances.c.user_data).outerjoin_from(
    operations, instances, instances.c.uid == func.substr(_TABLE.target, len("instances/") + 1)
)
_FIND = _WHOLE.where(_TABLE.uid == bindparam("wanted"), _VISIBLE)
_FIND_REQUEST = _WHOLE.where(_TABLE.request_scope == bindparam("scope"), _TABLE.request_id == bindparam("request"))
_SAVE = update(operations).where(_TABLE.uid == bindparam("key"), _IS_OPEN)
_SAVE_AS_OWNER = _SAVE.where(_TABLE.lease_owner == bindparam("owner"))
_DUE = (
    select(_TABLE.uid)
    .where(
        _IS_OPEN,
        or_(_TABLE.not_before <= bindparam("now"), _TABLE.not_before > bindparam("absurd")),
        or_(
            _TABLE.lease_until.is_(None),
            _TABLE.lease_until < bindparam("now"),
            _TABLE.lease_until > bindparam("absurd"),
        ),
    )
    .order_by(_TABLE.not_before)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
    .cte("due")
    # Or the planner may run it again for every row, and lock more than `most`.
    .prefix_with("MATERIALIZED", dialect="postgresql")
)
_CLAIM = (
    update(operations)
    .where(_TABLE.uid.in_(select(_DUE.c.uid)))
    .values(lease_owner=bindparam("owner"), lease_until=bindparam("until"), attempt=_TABLE.attempt + 1)
    .returning(operations)
)
_RENEW = (
    update(operations)
    .where(_TABLE.lease_owner == bindparam("owner"), _TABLE.uid.in_(bindparam("uids", expanding=True)), _IS_OPEN)
    .values(lease_until=bindparam("until"))
    .returning(_TABLE.uid, _TABLE.cancel_requested)
)
_HASTEN = update(operations).where(
    _IS_OPEN,
    _TABLE.waiting_for == WaitingFor.HOST,
    _TABLE.host == bindparam("wanted"),
    _TABLE.lease_owner.is_(None),
)


class SqlOperations:
    """See `ports.Operations`."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def find(self, uid: str) -> Operation | None:
        row = (await self._connection.execute(_FIND, {"wanted": uid})).one_or_none()
        return _whole(row) if row else None

    async def find_request(self, scope: str, request_id: str) -> Operation | None:
        row = (await self._connection.execute(_FIND_REQUEST, {"scope": scope, "request": request_id})).one_or_none()
        return _whole(row) if row else None

    async def add(self, operation: Operation) -> None:
        try:
            await self._connection.execute(insert(operations), {**_fixed(operation), **_changing(operation)})
        except IntegrityError as error:
            request = operation.request.id if operation.request else ""
            raise AlreadyExists(
                f"request_id {request!r} was used before", reason="REQUEST_ID_TAKEN", metadata={"request_id": request}
            ) from error

    async def save(self, operation: Operation, *, owner: str | None = None) -> bool:
        values = {**_changing(operation), "key": operation.uid}
        if owner is None:
            return (await self._connection.execute(_SAVE, values)).rowcount == 1
        return (await self._connection.execute(_SAVE_AS_OWNER, {**values, "owner": owner})).rowcount == 1

    async def request_cancel(self, uid: str) -> bool:
        return (await self._connection.execute(_SAVE, {"key": uid, "cancel_requested": True})).rowcount == 1

    async def claim(self, owner: str, now: datetime, until: datetime, limit: int) -> list[Operation]:
        values = {"owner": owner, "now": now, "until": until, "most": limit, "absurd": now + LONGEST_AHEAD}
        rows = (await self._connection.execute(_CLAIM, values)).all()
        return sorted((_operation(row) for row in rows), key=lambda operation: operation.not_before)

    async def renew(self, owner: str, uids: Sequence[str], until: datetime) -> dict[str, bool]:
        rows = await self._connection.execute(_RENEW, {"owner": owner, "uids": list(uids), "until": until})
        return {row.uid: row.cancel_requested for row in rows}

    async def release(self, replica: str) -> int:
        mine = _TABLE.lease_owner.startswith(f"{replica}/", autoescape=True)
        freed = update(operations).where(mine, _IS_OPEN)
        freed = freed.values(lease_owner=None, lease_until=None, waiting_for=WaitingFor.RETRY)
        return (await self._connection.execute(freed)).rowcount

    async def hasten(self, host: str, now: datetime) -> int:
        return (await self._connection.execute(_HASTEN, {"wanted": host, "not_before": now})).rowcount

    async def page(self, page: Page) -> tuple[list[Operation], bool]:
        query = select(operations).where(_VISIBLE, *(_matches(each) for each in page.comparisons))
        if page.scope is not None:
            query = query.where(_TABLE.project == page.scope)
        if page.after is not None:
            moment = datetime.fromisoformat(page.after[0])
            query = query.where(tuple_(_TABLE.create_time, _TABLE.uid) > (moment, page.after[1]))
        query = query.order_by(_TABLE.create_time, _TABLE.uid).limit(page.size + 1)
        rows = (await self._connection.execute(query)).all()
        return [_operation(row) for row in rows[: page.size]], len(rows) > page.size

    async def remove(self, uid: str) -> bool:
        ended = delete(operations).where(_TABLE.uid == uid, ~_IS_OPEN)
        return (await self._connection.execute(ended)).rowcount == 1

    async def prune(self, before: datetime, limit: int) -> int:
        old = select(_TABLE.uid).where(_TABLE.end_time < before).order_by(_TABLE.create_time).limit(limit)
        return (await self._connection.execute(delete(operations).where(_TABLE.uid.in_(old)))).rowcount


def _matches(comparison: Comparison) -> ColumnElement[bool]:
    if comparison.field == "done":
        wanted = (comparison.value == "true") is not comparison.negated
        return ~_IS_OPEN if wanted else _IS_OPEN
    column = _TABLE[comparison.field]
    return column != comparison.value if comparison.negated else column == comparison.value


def _fixed(operation: Operation) -> dict[str, Any]:
    request = operation.request
    return {
        "uid": operation.uid,
        "verb": operation.verb,
        "target": operation.target,
        "project": operation.project,
        "actor": operation.actor,
        "host": operation.host,
        "task": operation.task,
        "generation": operation.generation,
        "parameters": operation.parameters,
        "trace": operation.trace,
        "create_time": operation.create_time,
        "deadline": operation.deadline,
        "no_op": operation.no_op,
        # Later only by `request_cancel`: whoever works on it must not write back an older value.
        "cancel_requested": operation.cancel_requested,
        "request_scope": request.scope if request else None,
        "request_id": request.id if request else None,
        "request_digest": request.digest if request else None,
    }


def _changing(operation: Operation) -> dict[str, Any]:
    result, lease = operation.result, operation.lease
    return {
        "state": operation.state,
        "attempt": operation.attempt,
        "steps": operation.steps,
        "progress": operation.progress,
        "waiting_for": operation.waiting_for,
        "start_time": operation.start_time,
        "end_time": operation.end_time,
        "not_before": operation.not_before,
        "error": operation.error,
        "result": replace(result, instance=None) if result else None,
        "instance": result.instance if result else None,
        "lease_owner": lease.owner if lease else None,
        "lease_until": lease.until if lease else None,
    }


def _operation(row: Any) -> Operation:
    return Operation(
        uid=row.uid,
        verb=Verb(row.verb),
        target=row.target,
        project=row.project,
        actor=row.actor,
        host=row.host,
        task=TaskState(row.task),
        generation=row.generation,
        state=OperationState(row.state),
        attempt=row.attempt,
        steps=row.steps,
        progress=row.progress,
        parameters=row.parameters,
        waiting_for=WaitingFor(row.waiting_for),
        trace=row.trace,
        create_time=row.create_time,
        start_time=row.start_time,
        end_time=row.end_time,
        deadline=row.deadline,
        not_before=row.not_before,
        no_op=row.no_op,
        cancel_requested=row.cancel_requested,
        error=row.error,
        result=_result(row),
        request=_request(row),
        lease=Lease(owner=row.lease_owner, until=row.lease_until) if row.lease_owner else None,
    )


def _whole(row: Any) -> Operation:
    operation = _operation(row)
    result = operation.result
    if result is None or result.instance is None or not row.user_data:
        return operation
    return replace(operation, result=replace(result, instance=replace(result.instance, user_data=row.user_data)))


def _result(row: Any) -> Result | None:
    return replace(row.result, instance=row.instance) if row.result else None


def _request(row: Any) -> Request | None:
    if row.request_id is None:
        return None
    return Request(scope=row.request_scope, id=row.request_id, digest=row.request_digest)
