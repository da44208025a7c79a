"""Applying what hosts see: power states are written, and the policies for the unexpected are carried out.

While this replica works on an instance, what is seen of it waits a little: the end of the work tells the same, and one
write serves for both.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from dataclasses import replace
from datetime import datetime, timedelta
from time import monotonic

import structlog

from api_svc.domain import admission, event, lifecycle, observation
from api_svc.domain.event import Event
from api_svc.domain.fields import DEFAULT_DEADLINE
from api_svc.domain.instance import Instance, Placed
from api_svc.domain.observation import Observation, Reaction
from api_svc.domain.operation import SYSTEM, Operation, Parameters
from api_svc.domain.states import OFF, PowerState, StopMode, TaskState, VmState
from api_svc.ports import Session, Store, Work
from api_svc.usecases.accepting import claim, leased
from api_svc.usecases.board import Bell, Board
from api_svc.usecases.sightings import Sightings
from svckit import tracing
from svckit.clock import Clock, Window
from svckit.errors import ProtostarError

log = structlog.get_logger(__name__)
# What an operation in flight here will most likely tell itself.
_HOLD_SECONDS = 2.0
_ROUND_SECONDS = 0.25
# A guest that dies this soon after the last change is not started again at once.
_CALM = timedelta(seconds=60)
_RESTART_DELAY = timedelta(seconds=10)
# An instance that changed so lately may be missing in a comparison that was made before.
_SETTLED = timedelta(seconds=5)


class Observer:
    """See the module."""

    def __init__(self, store: Store, work: Work, board: Board, bell: Bell, sightings: Sightings, clock: Clock) -> None:
        self._store = store
        self._work = work
        self._board = board
        self._bell = bell
        self._sightings = sightings
        self._clock = clock
        self._noted = asyncio.Event()

    def note(self, seen: Observation) -> None:
        """A host saw something."""
        if self._sightings.note(seen, monotonic()):
            self._noted.set()

    async def run(self) -> None:
        """Apply what was noted, for ever."""
        while True:
            await self._noted.wait()
            self._noted.clear()
            for seen, since in self._sightings.waiting():
                await self._apply_noted(seen, since)
            if self._sightings.waiting():
                await asyncio.sleep(_ROUND_SECONDS)
                self._noted.set()

    async def compare(self, host: str, snapshot: tuple[Observation, ...], *, host_booted: bool) -> None:
        """Every guest of a host as it is now; an instance that is missing here has no domain."""
        seen = {each.uid: each for each in snapshot}
        async with self._store.reading() as session:
            instances = await session.instances.on_host(host)
        now = self._clock()
        for instance in instances:
            told = seen.get(instance.uid) or _missing(instance, now)
            if told is not None and observation.observe(instance, told, now, host_booted=host_booted):
                with contextlib.suppress(ProtostarError):
                    await self._apply(told, host_booted=host_booted)

    async def _apply_noted(self, seen: Observation, since: float) -> None:
        if self._work.is_working_on(seen.uid) and monotonic() - since < _HOLD_SECONDS:
            return
        try:
            if not await self._apply(seen):
                self._sightings.forget(seen.uid)
                return
        except ProtostarError as error:
            log.warning("observation_waits", instance=seen.uid, error=error.message)
        except Exception:
            log.exception("observation_failed", instance=seen.uid)
            self._sightings.settle(seen)
        else:
            self._sightings.settle(seen)

    async def _apply(self, seen: Observation, *, host_booted: bool = False) -> bool:
        """Write what it changes, and begin what follows; False when there is no such instance (any more).

        :raise Aborted: somebody else changed the instance meanwhile; try again.
        """
        async with self._store.reading() as session:
            placed = await session.instances.find(seen.uid)
        if placed is None or placed.instance.vm_state is VmState.DELETED:
            return False
        reaction = observation.observe(placed.instance, seen, self._clock(), host_booted=host_booted)
        if reaction is None:
            return True
        with tracing.span("observe", {"protostar.instance": seen.uid, "protostar.power_state": seen.power_state}):
            await self._carry_out(placed, reaction, host_booted)
        log.info("observed", instance=seen.uid, power_state=seen.power_state, reason=seen.reason)
        self._bell.ring()
        return True

    async def _carry_out(self, placed: Placed, reaction: Reaction, host_booted: bool) -> None:
        if reaction.follow_up is TaskState.NONE:
            async with self._store.transaction() as session:
                await self._write(session, placed.instance, reaction)
            return
        operation, begun = self._command(placed, reaction, host_booted)
        async with self._store.transaction() as session:
            await claim(session, self._board, placed.instance, begun, operation)
        self._work.take(operation, replace(placed, instance=begun))

    async def _write(self, session: Session, before: Instance, reaction: Reaction) -> None:
        after = reaction.instance
        if not await session.instances.save(after, expected_version=before.version):
            raise admission.concurrent_update(before)
        await session.events.add(
            Event(type=event.POWER_STATE, time=after.update_time, instance=after, trace_id=tracing.current_trace_id())
        )

    def _command(self, placed: Placed, reaction: Reaction, host_booted: bool) -> tuple[Operation, Instance]:
        """The operation that Protostar itself begins, and the instance as it holds it."""
        now = self._clock()
        restless = not host_booted and placed.instance.update_time in Window.lately(now, _CALM)
        operation = _system_operation(placed.instance, reaction.follow_up, now, restless=restless)
        if operation.not_before <= now:
            operation = leased(operation, self._work.lease())
        begun = lifecycle.resume(reaction.instance, reaction.follow_up, operation.uid, now)
        return replace(operation, generation=begun.generation), begun


def _missing(instance: Instance, now: datetime) -> Observation | None:
    """libvirt knows no domain of it, which a resting instance that once ran should have."""
    known_off = instance.power_state in OFF and instance.vm_state is not VmState.ACTIVE
    if not instance.at_rest or known_off or instance.update_time in Window.lately(now, _SETTLED):
        return None
    return Observation(
        uid=instance.uid,
        power_state=PowerState.NO_STATE,
        observed_at=max(now, instance.power_state_observed_at or now),
        generation=instance.applied_generation,
        reason="missing",
    )


def _system_operation(instance: Instance, task: TaskState, now: datetime, *, restless: bool) -> Operation:
    begin = now + _RESTART_DELAY if restless and task is TaskState.POWERING_ON else now
    return Operation(
        uid=str(uuid.uuid4()),
        verb=lifecycle.RULES[task].verb,
        target=instance.name,
        project=instance.project,
        actor=SYSTEM,
        host=instance.host,
        task=task,
        create_time=now,
        deadline=begin + DEFAULT_DEADLINE,
        not_before=begin,
        parameters=Parameters(stop_mode=StopMode.FORCE),
        trace=tracing.carrier(),
    )
