"""Instances in SQL."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Text, and_, bindparam, case, cast, func, insert, select, tuple_, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from api_svc.adapters.hosts_sql import host_of
from api_svc.adapters.schema import hosts, instances
from api_svc.domain.instance import Instance, Placed
from api_svc.domain.query import Page
from api_svc.domain.states import PowerState, TaskState, VmState
from svckit.clock import Window
from svckit.errors import AlreadyExists
from svckit.listing import Comparison

_TABLE = instances.c
_JOINED = select(instances, hosts).outerjoin_from(instances, hosts, _TABLE.host == hosts.c.name)
_ALIVE = _TABLE.vm_state != VmState.DELETED
_FIND = _JOINED.where(_TABLE.uid == bindparam("wanted"))
_SAVE = update(instances).where(_TABLE.uid == bindparam("key"), _TABLE.version == bindparam("expected"))
_ON_HOST = select(instances).where(_TABLE.host == bindparam("wanted"), _ALIVE)
_COUNT = select(func.count()).where(_TABLE.project == bindparam("wanted"), _ALIVE)
# Of the 4 MiB that a gRPC message may have.
_MOST_BYTES = 3 * 1024**2


class SqlInstances:
    """See `ports.Instances`."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def find(self, uid: str) -> Placed | None:
        row = (await self._connection.execute(_FIND, {"wanted": uid})).one_or_none()
        return _placed(row) if row else None

    async def add(self, instance: Instance) -> None:
        try:
            await self._connection.execute(insert(instances), {**_fixed(instance), **_changing(instance)})
        except IntegrityError as error:
            raise AlreadyExists.of("instance", instance.name) from error

    async def save(self, instance: Instance, *, expected_version: int) -> bool:
        values = {**_changing(instance), "key": instance.uid, "expected": expected_version}
        return (await self._connection.execute(_SAVE, values)).rowcount == 1

    async def page(self, page: Page, fresh: Window) -> tuple[list[Placed], bool]:
        query = _JOINED.where(_ALIVE, *(_matches(each, fresh) for each in page.comparisons))
        if page.scope is not None:
            query = query.where(_TABLE.project == page.scope)
        if page.after is not None:
            moment = datetime.fromisoformat(page.after[0])
            query = query.where(tuple_(_TABLE.create_time, _TABLE.uid) > (moment, page.after[1]))
        query = query.order_by(_TABLE.create_time, _TABLE.uid).limit(page.size + 1)
        rows = (await self._connection.execute(query)).all()
        fitting = _fitting(rows[: page.size])
        return [_placed(row) for row in fitting], len(fitting) < len(rows)

    async def on_host(self, host: str) -> list[Instance]:
        return [instance_of(row) for row in await self._connection.execute(_ON_HOST, {"wanted": host})]

    async def count(self, project: str) -> int:
        return int((await self._connection.execute(_COUNT, {"wanted": project})).scalar_one())

    async def showing(self, volume: str) -> str | None:
        query = select(_TABLE.uid).where(cast(_TABLE.volumes, Text).contains(f'"{volume}"'), _ALIVE).limit(1)
        return (await self._connection.execute(query)).scalar_one_or_none()


def instance_of(row: Any) -> Instance:
    """The instance of a row of its table."""
    return Instance(
        uid=row.uid,
        display_name=row.display_name,
        project=row.project,
        user=row.user,
        host=row.host,
        vm_state=VmState(row.vm_state),
        task_state=TaskState(row.task_state),
        power_state=PowerState(row.power_state),
        power_state_observed_at=row.power_state_observed_at,
        spec=row.spec,
        ports=row.ports,
        volumes=row.volumes,
        user_data=row.user_data,
        metadata=row.metadata,
        policy=row.policy,
        locked_by=row.locked_by,
        lock_reason=row.lock_reason,
        current_operation=row.current_operation,
        fault=row.fault,
        generation=row.generation,
        applied_generation=row.applied_generation,
        version=row.version,
        create_time=row.create_time,
        update_time=row.update_time,
        launch_time=row.launch_time,
    )


def _placed(row: Any) -> Placed:
    return Placed(instance=instance_of(row), host=host_of(row) if row.name is not None else None)


def _fixed(instance: Instance) -> dict[str, Any]:
    return {
        "uid": instance.uid,
        "project": instance.project,
        "user": instance.user,
        "image": instance.spec.image,
        "vcpus": instance.spec.flavor.vcpus,
        "memory_mib": instance.spec.flavor.memory_mib,
        "spec": instance.spec,
        "user_data": instance.user_data,
        "create_time": instance.create_time,
    }


def _changing(instance: Instance) -> dict[str, Any]:
    return {
        "display_name": instance.display_name,
        "host": instance.host,
        "vm_state": instance.vm_state,
        "task_state": instance.task_state,
        "power_state": instance.power_state,
        "power_state_observed_at": instance.power_state_observed_at,
        "ports": instance.ports,
        "volumes": instance.volumes,
        "metadata": dict(instance.metadata),
        "policy": instance.policy,
        "locked_by": instance.locked_by,
        "lock_reason": instance.lock_reason,
        "current_operation": instance.current_operation,
        "fault": instance.fault,
        "generation": instance.generation,
        "applied_generation": instance.applied_generation,
        "version": instance.version,
        "update_time": instance.update_time,
        "launch_time": instance.launch_time,
    }


def _matches(comparison: Comparison, fresh: Window) -> ColumnElement[bool]:
    stem, _, key = comparison.field.partition(".")
    if stem == "metadata":
        return _compare(_TABLE.metadata[key].as_string(), comparison)
    if stem == "locked":
        return (_TABLE.locked_by != "") == ((comparison.value == "true") is not comparison.negated)
    if stem == "power_state":
        heard = hosts.c.last_seen.between(fresh.first, fresh.last)
        return _compare(case((heard, _TABLE.power_state), else_=PowerState.UNKNOWN), comparison)
    return _compare(_TABLE[stem], comparison)


def _compare(column: ColumnElement[Any], comparison: Comparison) -> ColumnElement[bool]:
    """A value that is not there differs from every other."""
    if comparison.negated:
        return and_(column.is_distinct_from(comparison.value))
    return column == comparison.value


def _fitting(rows: Iterable[Any]) -> list[Any]:
    """As many rows as fit into one answer, but one at least."""
    chosen: list[Any] = []
    size = 0
    for row in rows:
        size += len(row.user_data) + sum(len(key) + len(value) for key, value in row.metadata.items()) + 1000
        if chosen and size > _MOST_BYTES:
            break
        chosen.append(row)
    return chosen
