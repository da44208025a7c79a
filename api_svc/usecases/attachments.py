"""Attaching volumes to instances that are stopped, and detaching them.

The attachment is netblock_svc's; whether the instance allows it is decided here, and must stay true while netblock_svc
is asked: a start that slips in between would run a guest with a volume that is just being taken away. So the instance
is written first, which makes every other writer of its row wait, and the transaction ends after netblock_svc has
answered, in milliseconds as a rule, never later than the short deadline of `Disks`. When the process dies on the way,
the instance lags behind netblock_svc, which is what a start asks, and the same call again sets it right.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Protocol

from api_svc.domain import admission, attachment, event, policy
from api_svc.domain.attachment import Disk
from api_svc.domain.instance import Instance
from api_svc.domain.policy import Caller
from api_svc.domain.states import Verb, VmState
from api_svc.ports import Session, Store
from api_svc.usecases.board import Bell
from svckit import tracing
from svckit.clock import Clock
from svckit.failpoints import failpoint


class Disks(Protocol):
    """netblock_svc's volumes. `project` is the one that must own the volume, "" for any."""

    async def find(self, uid: str, project: str) -> Disk:
        """:raise NotFound: VOLUME_NOT_FOUND."""

    async def attach(self, disk: Disk, project: str, *, generation: int) -> Disk:
        """Attach it where `disk` says.

        :raise FailedPrecondition: VOLUME_IN_USE, DEVICE_IN_USE.
        :raise Aborted: STALE_GENERATION, a later command for the instance was obeyed.
        """

    async def detach(self, disk: Disk, project: str) -> None:
        """Detach it from where `disk` says, if it is there."""


class Attachments:
    """See the module."""

    def __init__(self, store: Store, disks: Disks, bell: Bell, clock: Clock) -> None:
        self._store = store
        self._disks = disks
        self._bell = bell
        self._clock = clock

    async def attach(self, caller: Caller, wanted: Disk) -> None:
        """Attach a volume of the instance's project; what is attached there already is left as it is.

        :raise ProtostarError: INSTANCE_NOT_FOUND, VOLUME_NOT_FOUND, INSTANCE_LOCKED, INSTANCE_INVALID_STATE,
            OPERATION_IN_PROGRESS, VOLUME_IN_USE, DEVICE_IN_USE; nothing has changed.
        """
        instance = await self._find(caller, wanted.instance, "volume.attach")
        found = await self._disks.find(wanted.uid, instance.project)
        there = found.instance == wanted.instance and wanted.device in ("", found.device)
        if there and attachment.shows(instance, found):
            return

        async def change(held: Instance) -> Instance:
            attached = await self._disks.attach(wanted, held.project, generation=held.generation)
            return attachment.with_disk(held, attached)

        await self._apply(caller, wanted.instance, "attach a volume to", change)

    async def detach(self, caller: Caller, uid: str) -> None:
        """Detach a volume; of what is attached nowhere only a trace is removed, that a crash has left on an instance.

        :raise ProtostarError: VOLUME_NOT_FOUND, INSTANCE_LOCKED, INSTANCE_INVALID_STATE, OPERATION_IN_PROGRESS;
            nothing has changed.
        """
        policy.require(caller, "volume.detach")
        scope = caller.scope or ""
        found = await self._disks.find(uid, scope)
        if not found.instance:
            await self._forget(caller, found)
            return
        if await self._is_gone(found.instance):
            await self._disks.detach(found, scope)
            return

        async def change(held: Instance) -> Instance:
            # Seen before the instance was held, it may have moved on to another one since.
            now = await self._disks.find(uid, scope)
            if now.instance not in ("", held.uid):
                raise admission.concurrent_update(held)
            await self._disks.detach(found, scope)
            return attachment.without_disk(held, found)

        await self._apply(caller, found.instance, "detach a volume from", change)

    async def _forget(self, caller: Caller, disk: Disk) -> None:
        """An instance may still show what a detach that was cut short has detached already."""
        async with self._store.reading() as session:
            uid = await session.instances.showing(disk.name)
        if uid is None:
            return

        async def change(held: Instance) -> Instance:
            now = await self._disks.find(disk.uid, held.project)
            return held if now.instance else attachment.without_disk(held, disk)

        await self._apply(caller, uid, "detach a volume from", change)

    async def _apply(
        self, caller: Caller, uid: str, verb: str, change: Callable[[Instance], Awaitable[Instance]]
    ) -> None:
        async with self._store.transaction() as session:
            held = await self._hold(session, caller, uid, verb)
            changed = await change(held)
            await failpoint("api.attachment.before_commit")
            if not await session.instances.save(changed, expected_version=held.version):
                raise admission.concurrent_update(held)
            told = event.of_verb(Verb.UPDATE, changed, changed.update_time, tracing.current_trace_id())
            await session.events.add(told)
        self._bell.ring()

    async def _hold(self, session: Session, caller: Caller, uid: str, verb: str) -> Instance:
        """The instance, checked, with everybody else who would change it waiting for the end of the transaction."""
        found = admission.visible(caller, await session.instances.find(uid), uid).instance
        attachment.check(caller, found, verb)
        held = replace(found, version=found.version + 1, update_time=self._clock())
        if not await session.instances.save(held, expected_version=found.version):
            raise admission.concurrent_update(found)
        return held

    async def _find(self, caller: Caller, uid: str, permission: str) -> Instance:
        async with self._store.reading() as session:
            placed = admission.visible(caller, await session.instances.find(uid), uid)
        policy.require(caller, permission)
        return placed.instance

    async def _is_gone(self, uid: str) -> bool:
        """An instance that does not exist any more holds nothing; its release may still be on its way."""
        async with self._store.reading() as session:
            placed = await session.instances.find(uid)
        return placed is None or placed.instance.vm_state is VmState.DELETED
