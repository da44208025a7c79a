"""The end of an attempt, written: one transaction of three statements for instance, operation and event."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime

import structlog

from api_svc.domain import admission, event, judgement, lifecycle
from api_svc.domain.instance import Instance
from api_svc.domain.judgement import End, Verdict
from api_svc.domain.operation import Operation
from api_svc.domain.states import OperationState, WaitingFor
from api_svc.ports import Session, Store
from api_svc.usecases.board import Bell, Board
from api_svc.usecases.sightings import Sightings
from svckit.clock import Clock
from svckit.errors import Aborted
from svckit.failpoints import failpoint

log = structlog.get_logger(__name__)
_STATES: Mapping[End, OperationState] = {
    End.SUCCEEDED: OperationState.SUCCEEDED,
    End.FAILED: OperationState.FAILED,
    End.CANCELLED: OperationState.CANCELLED,
    End.SUPERSEDED: OperationState.SUPERSEDED,
}


class LeaseLost(Exception):
    """Somebody else has taken the operation over, or it has ended; nothing was written."""


class Settlement:
    """Writes verdicts. What it writes counts only while `owner` holds the lease."""

    def __init__(
        self, store: Store, board: Board, bell: Bell, sightings: Sightings, clock: Clock, owner: str, jitter: Jitter
    ) -> None:
        self._store = store
        self._board = board
        self._bell = bell
        self._sightings = sightings
        self._clock = clock
        self._owner = owner
        self._jitter = jitter

    async def settle(self, operation: Operation, instance: Instance | None, verdict: Verdict) -> Operation:
        """Write a verdict; the operation as it then is.

        :raise LeaseLost: it is not ours to write.
        :raise Unavailable: the database is away; nothing was written, try again.
        """
        if verdict.end is End.AGAIN:
            return await self._queue(operation, verdict)
        async with self._store.transaction() as session:
            ended = await self.end(session, operation, instance, verdict, owner=self._owner)
            await failpoint("api.finish.before_commit")
        await failpoint("api.finish.after_commit")
        if verdict.outcome.power is not None:
            self._sightings.settle(verdict.outcome.power)
        else:
            self._sightings.forget(ended.target_uid)
        self.announce(ended)
        return ended

    async def hand_back(self, operation: Operation) -> None:
        """Let another replica, or the next life of this one, go on at once. :raise LeaseLost: it is not ours."""
        await self._save_queued(replace(operation, waiting_for=WaitingFor.DISPATCH, not_before=self._clock()))

    async def end(
        self,
        session: Session,
        operation: Operation,
        instance: Instance | None,
        verdict: Verdict,
        *,
        owner: str | None,
    ) -> Operation:
        """Write the end into a transaction; announce it after its commit."""
        ended = _ended(operation, verdict, self._clock())
        if instance is not None and verdict.end is not End.SUPERSEDED:
            try:
                rested = await self._rest(session, ended, instance, verdict)
            except Aborted as superseded:
                ended = _ended(operation, judgement.judge(operation, superseded, self._clock()), self._clock())
                rested = None
            if rested is not None:
                ended = replace(ended, result=ended.result and replace(ended.result, instance=rested))
                await self._save(session, ended, owner)
                phase = "end" if verdict.end is End.SUCCEEDED else "error"
                await session.events.add(event.of_operation(ended, rested, phase, rested.update_time))
                return ended
        await self._save(session, ended, owner)
        return ended

    def announce(self, ended: Operation) -> None:
        """Tell those who wait, after the commit."""
        self._board.publish(ended)
        self._bell.ring()

    async def _save(self, session: Session, ended: Operation, owner: str | None) -> None:
        if not await session.operations.save(ended, owner=owner):
            raise LeaseLost(ended.uid)

    async def _rest(self, session: Session, ended: Operation, known: Instance, verdict: Verdict) -> Instance:
        """Bring the instance to rest, from how it was when the work began, or from how it is now if it was changed.

        :raise Aborted: SUPERSEDED.
        """
        change = self._change(ended, verdict)
        rested = change(known)
        if await session.instances.save(rested, expected_version=known.version):
            return rested
        placed = await session.instances.find(known.uid)
        assert placed is not None
        rested = change(placed.instance)
        if not await session.instances.save(rested, expected_version=placed.instance.version):
            raise admission.concurrent_update(placed.instance)
        return rested

    def _change(self, ended: Operation, verdict: Verdict) -> Callable[[Instance], Instance]:
        at = ended.end_time or self._clock()
        failure = verdict.failure
        if failure is None:
            return lambda instance: lifecycle.finish(instance, ended, verdict.outcome, at)
        power = self._sightings.latest(ended.target_uid)
        return lambda instance: lifecycle.fail(instance, ended, failure, known=verdict.known, power=power, at=at)

    async def _queue(self, operation: Operation, verdict: Verdict) -> Operation:
        not_before = judgement.next_attempt(operation, self._clock(), self._jitter())
        waiting = WaitingFor.CANCEL if operation.cancel_requested else verdict.waiting_for
        return await self._save_queued(replace(operation, waiting_for=waiting, not_before=not_before))

    async def _save_queued(self, operation: Operation) -> Operation:
        queued = replace(operation, state=OperationState.QUEUED, lease=None)
        async with self._store.transaction() as session:
            await self._save(session, queued, self._owner)
        return queued


Jitter = Callable[[], float]


def _ended(operation: Operation, verdict: Verdict, at: datetime) -> Operation:
    return replace(
        operation,
        state=_STATES[verdict.end],
        end_time=at,
        lease=None,
        waiting_for=WaitingFor.NOTHING,
        error=verdict.failure,
        result=None if verdict.failure else verdict.result,
    )
