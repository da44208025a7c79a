"""Changes that are done when the answer goes out: update, lock, unlock.

Their request ids are kept as operations that nobody sees, so that one unique key covers every mutating call.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from api_svc.domain import admission, event, policy
from api_svc.domain.commands import Envelope, LockInstance, UnlockInstance, UpdateInstance
from api_svc.domain.instance import Instance, Placed
from api_svc.domain.operation import Operation
from api_svc.domain.policy import Caller
from api_svc.domain.states import OperationState, Verb
from api_svc.ports import Session, Store
from api_svc.usecases.accepting import request_of
from api_svc.usecases.board import Bell
from api_svc.usecases.replay import replay
from svckit import tracing
from svckit.clock import Clock
from svckit.errors import PermissionDenied, ProtostarError

_Change = Callable[[Instance], Instance]


class Changes:
    """See the module. Every method answers the instance as it is then, and its host."""

    def __init__(self, store: Store, bell: Bell, clock: Clock) -> None:
        self._store = store
        self._bell = bell
        self._clock = clock

    async def update(self, caller: Caller, command: UpdateInstance) -> Placed:
        """Change display name, metadata, policy. :raise ProtostarError: INSTANCE_LOCKED, CONCURRENT_UPDATE, …"""

        def change(instance: Instance) -> Instance:
            admission.check_lock(caller, instance)
            wanted = {
                name: value
                for name in ("display_name", "metadata", "policy")
                if (value := getattr(command, name)) is not None
            }
            return replace(instance, **wanted)

        return await self._apply(caller, Verb.UPDATE, command.uid, command.envelope, change)

    async def lock(self, caller: Caller, command: LockInstance) -> Placed:
        """Lock it, or change the reason. Nobody weakens an admin's lock but an admin."""

        def change(instance: Instance) -> Instance:
            if instance.locked_by == "admin":
                admission.check_lock(caller, instance)
            return replace(instance, locked_by="admin" if caller.is_admin else "owner", lock_reason=command.reason)

        return await self._apply(caller, Verb.LOCK, command.uid, command.envelope, change)

    async def unlock(self, caller: Caller, command: UnlockInstance) -> Placed:
        """Take the lock away.

        :raise PermissionDenied: an admin locked it, and the caller is none (Nova: unlock_override).
        """

        def change(instance: Instance) -> Instance:
            if instance.locked_by == "admin":
                _require_override(caller, instance)
            return replace(instance, locked_by="", lock_reason="")

        return await self._apply(caller, Verb.UNLOCK, command.uid, command.envelope, change)

    async def _apply(self, caller: Caller, verb: Verb, uid: str, envelope: Envelope, change: _Change) -> Placed:
        if envelope.validate_only:
            async with self._store.reading() as session:
                return (await self._changed(session, caller, verb, uid, envelope, change))[1]
        try:
            async with self._store.transaction() as session:
                placed = await self._write(session, caller, verb, uid, envelope, change)
        except ProtostarError as refusal:
            return await self._replay(caller, uid, envelope, refusal)
        self._bell.ring()
        return placed

    async def _write(
        self, session: Session, caller: Caller, verb: Verb, uid: str, envelope: Envelope, change: _Change
    ) -> Placed:
        before, after = await self._changed(session, caller, verb, uid, envelope, change)
        if envelope.request_id:
            await session.operations.add(_record(caller, verb, after.instance, envelope, self._clock()))
        if not await session.instances.save(after.instance, expected_version=before.instance.version):
            raise admission.concurrent_update(before.instance)
        told = event.of_verb(verb, after.instance, after.instance.update_time, tracing.current_trace_id())
        await session.events.add(told)
        return after

    async def _changed(
        self, session: Session, caller: Caller, verb: Verb, uid: str, envelope: Envelope, change: _Change
    ) -> tuple[Placed, Placed]:
        found = admission.visible(caller, await session.instances.find(uid), uid)
        policy.require(caller, f"instance.{verb.lower()}")
        changed = change(found.instance)
        admission.check_etag(found.instance, envelope.etag)
        changed = replace(changed, version=changed.version + 1, update_time=self._clock())
        return found, replace(found, instance=changed)

    async def _replay(self, caller: Caller, uid: str, envelope: Envelope, refusal: ProtostarError) -> Placed:
        await replay(self._store, caller, envelope, refusal)
        async with self._store.reading() as session:
            return admission.visible(caller, await session.instances.find(uid), uid)


def _require_override(caller: Caller, instance: Instance) -> None:
    try:
        policy.require(caller, "instance.unlock_override")
    except PermissionDenied as error:
        raise error.with_metadata(instance=instance.name, lock_reason=instance.lock_reason) from None


def _record(caller: Caller, verb: Verb, instance: Instance, envelope: Envelope, now: datetime) -> Operation:
    return Operation(
        uid=str(uuid.uuid4()),
        verb=verb,
        target=instance.name,
        project=instance.project,
        actor=caller.name,
        create_time=now,
        end_time=now,
        deadline=now,
        not_before=now,
        state=OperationState.SUCCEEDED,
        request=request_of(caller, envelope),
    )
