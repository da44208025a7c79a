"""The dispatcher: has every accepted operation worked on by exactly one replica at a time, until it has ended.

An operation belongs to whoever holds its lease. The replica that accepts it takes the lease in the same transaction;
what has no lease, or an expired one, is claimed. Claiming is woken by the commit that queued something; a sweep is the
net under it. The lease is prolonged while work goes on, and with it what the work has told is written.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

import structlog
from opentelemetry import metrics

from api_svc.domain.instance import Instance, Placed
from api_svc.domain.judgement import End, Verdict
from api_svc.domain.operation import Lease, Operation
from api_svc.domain.states import Verb, WaitingFor
from api_svc.ports import Session, Store
from api_svc.usecases.attempt import Attempt, Peers
from api_svc.usecases.board import Board
from api_svc.usecases.settlement import LeaseLost, Settlement
from svckit import tracing
from svckit.clock import Clock
from svckit.errors import Unavailable
from svckit.failpoints import failpoint

log = structlog.get_logger(__name__)
_METER = metrics.get_meter("protostar")
_DURATION = _METER.create_histogram("protostar.operation.duration", unit="s", description="Operations that ended.")
_QUEUE_AGE = _METER.create_histogram("protostar.operation.queue.age", unit="s", description="Waits for an attempt.")
_ELDERS_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Timing:
    """How the dispatcher paces itself. All times in seconds.

    What a killed replica leaves behind is taken over within `lease` + `sweep`; by its own next life at once.
    """

    lease: float = 6.0
    tick: float = 1.0
    sweep: float = 1.0
    in_flight: int = 256
    batch: int = 64
    drain: float = 8.0


class Dispatcher:
    """`owner` is "replica/life": a replica's name and something that is new each time it starts."""

    def __init__(
        self,
        store: Store,
        peers: Peers,
        board: Board,
        settlement: Settlement,
        clock: Clock,
        owner: str,
        timing: Timing,
    ) -> None:
        self._store = store
        self._peers = peers
        self._board = board
        self._settlement = settlement
        self._clock = clock
        self._owner = owner
        self._timing = timing
        self._attempts: dict[str, Attempt] = {}
        self._wake = asyncio.Event()
        self._turned_away = False
        self._draining = False

    # --- for those who accept (ports.Work) ---

    def lease(self) -> Lease | None:
        if self._draining or len(self._attempts) >= self._timing.in_flight:
            self._turned_away = True
            return None
        return Lease(owner=self._owner, until=self._clock() + timedelta(seconds=self._timing.lease))

    def take(self, operation: Operation, placed: Placed | None) -> None:
        if operation.lease is not None and not self._draining:
            self._begin(operation, placed)
        else:
            self.wake_in((operation.not_before - self._clock()).total_seconds())

    def superseded(self, operation: Operation) -> None:
        attempt = self._attempts.get(operation.uid)
        if attempt is not None:
            attempt.stop()
        self._board.publish(operation)

    def cancel(self, uid: str) -> None:
        attempt = self._attempts.get(uid)
        if attempt is not None:
            attempt.cancel()
        else:
            self._wake.set()

    def wake_in(self, seconds: float) -> None:
        if seconds <= 0:
            self._wake.set()
        else:
            asyncio.get_running_loop().call_later(seconds, self._wake.set)

    def is_working_on(self, instance: str) -> bool:
        return any(attempt.operation.target_uid == instance for attempt in self._attempts.values())

    # --- its own life ---

    async def run(self) -> None:
        """Claim what is due, for ever. First, what the life before this one had to leave."""
        await self._stubbornly(self._release_former_life)
        while not self._draining:
            self._wake.clear()
            full = await self._stubbornly(self._claim)
            if not full:
                await self._sleep()

    async def keep_leases(self) -> None:
        """Prolong leases and write what was told, once a tick, if any work is older than that."""
        while True:
            await asyncio.sleep(self._timing.tick)
            old_enough = self._clock() - timedelta(seconds=self._timing.tick * 0.8)
            if any(attempt.began <= old_enough for attempt in self._attempts.values()):
                await self._stubbornly(self._prolong)

    async def drain(self) -> None:
        """Claim nothing more, finish what ends in time, hand the rest back."""
        self._draining = True
        self._wake.set()
        log.info("finishing_operations", operations=list(self._attempts))
        await self._all_ended(self._timing.drain)
        log.info("handing_back_operations", operations=list(self._attempts))
        for attempt in list(self._attempts.values()):
            if attempt.task is not None and not attempt.settling:
                attempt.task.cancel()
        await self._all_ended(self._timing.tick)

    async def _all_ended(self, seconds: float) -> None:
        tasks = [attempt.task for attempt in self._attempts.values() if attempt.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=seconds)

    async def _release_former_life(self) -> None:
        async with self._store.transaction() as session:
            freed = await session.operations.release(self._owner.partition("/")[0])
        if freed:
            log.info("leases_released", operations=freed)

    async def _claim(self) -> bool:
        """Begin with what is due; whether there may be more."""
        room = min(self._timing.in_flight - len(self._attempts), self._timing.batch)
        if room <= 0 or self._draining:
            self._turned_away = True
            return False
        self._turned_away = False
        async with self._store.transaction() as session:
            claimed = await self._claimed(session, room)
        for operation, placed in claimed:
            _QUEUE_AGE.record(max(0.0, (self._clock() - operation.not_before).total_seconds()))
            self._begin(operation, placed)
        return len(claimed) == room

    async def _claimed(self, session: Session, room: int) -> Sequence[tuple[Operation, Placed | None]]:
        now = self._clock()
        until = now + timedelta(seconds=self._timing.lease)
        operations = await session.operations.claim(self._owner, now, until, room)
        return [(operation, await _placed(session, operation)) for operation in operations]

    async def _prolong(self) -> None:
        until = self._clock() + timedelta(seconds=self._timing.lease)
        watched = dict(self._attempts)
        async with self._store.transaction() as session:
            kept = await session.operations.renew(self._owner, list(watched), until)
            for uid, attempt in watched.items():
                _on_renewed(attempt, Lease(owner=self._owner, until=until), kept.get(uid))
            told = [(attempt, attempt.told) for attempt in watched.values() if attempt.told > attempt.written]
            for attempt, _ in told:
                await session.operations.save(attempt.operation, owner=self._owner)
        for attempt, count in told:
            attempt.written = count

    def _begin(self, operation: Operation, placed: Placed | None) -> None:
        if operation.uid in self._attempts:
            return  # claimed anew while the database was away; the work never stopped
        attempt = Attempt(operation, placed, self._peers, self._board, self._clock)
        self._attempts[operation.uid] = attempt
        self._board.publish(operation)
        attempt.task = asyncio.create_task(self._run(attempt), name=operation.name)

    async def _run(self, attempt: Attempt) -> None:
        uid = attempt.operation.uid
        try:
            with _logged(attempt.operation), _traced(attempt.operation):
                await self._attempt(attempt)
        except asyncio.CancelledError:
            if not attempt.stopped:
                await self._hand_back(attempt)
        except LeaseLost:
            log.info("lease_lost", operation=uid)
        finally:
            del self._attempts[uid]
            attempt.ended.set()
            if self._board.live(uid):
                self._board.forget(uid)
            if self._turned_away:
                self._wake.set()

    async def _attempt(self, attempt: Attempt) -> None:
        await self._wait_for_elders(attempt)
        verdict = await self._verdict(attempt)
        attempt.settling = True
        instance = attempt.placed.instance if attempt.placed else None
        settled = await self._settle(attempt.operation, instance, verdict)
        if settled.done:
            _record(settled)
        else:
            self.wake_in((settled.not_before - self._clock()).total_seconds())

    async def _verdict(self, attempt: Attempt) -> Verdict:
        try:
            await failpoint("api.dispatch.before_call")
            verdict = await attempt.run()
            await failpoint("api.dispatch.after_call")
            return verdict
        except Exception:
            log.exception("attempt_failed")
            return Verdict(end=End.AGAIN, known=False, waiting_for=WaitingFor.RETRY)

    async def _settle(self, operation: Operation, instance: Instance | None, verdict: Verdict) -> Operation:
        """Write the verdict, however long the database is away: nobody else knows it."""
        delay = 0.1
        while True:
            try:
                return await self._settlement.settle(operation, instance, verdict)
            except Unavailable as error:
                log.warning("settling_waits", error=error.message)
                await asyncio.sleep(delay)
                delay = min(delay * 2, 2.0)

    async def _wait_for_elders(self, attempt: Attempt) -> None:
        """An older attempt at the same instance lets go first: it was told to, and takes no time for it."""
        target = attempt.operation.target
        elders = [each for each in self._attempts.values() if each.operation.target == target and each is not attempt]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_ELDERS_SECONDS):
                await asyncio.gather(*(elder.ended.wait() for elder in elders))

    async def _hand_back(self, attempt: Attempt) -> None:
        with contextlib.suppress(LeaseLost, Unavailable):
            await self._settlement.hand_back(attempt.operation)

    async def _stubbornly(self, work: Callable[[], Awaitable[bool | None]]) -> bool:
        """One round of background work; a database that is away, or a bug, does not end the dispatcher."""
        try:
            return bool(await work())
        except Unavailable as error:
            log.warning("dispatcher_waits", error=error.message)
        except Exception:
            log.exception("dispatcher_round_failed")
        return False

    async def _sleep(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._timing.sweep):
                await self._wake.wait()


async def _placed(session: Session, operation: Operation) -> Placed | None:
    if operation.verb is Verb.IMPORT_IMAGE:
        return None
    return await session.instances.find(operation.target_uid)


def _on_renewed(attempt: Attempt, lease: Lease, cancel_requested: bool | None) -> None:
    """`cancel_requested` is None for an operation that is not ours any more, or has just ended."""
    if cancel_requested is None:
        attempt.stop()
        return
    attempt.operation = replace(attempt.operation, lease=lease)
    if cancel_requested and not attempt.operation.cancel_requested:
        attempt.cancel()


@contextlib.contextmanager
def _logged(operation: Operation) -> Iterator[None]:
    with structlog.contextvars.bound_contextvars(operation=operation.uid, target=operation.target):
        yield


def _traced(operation: Operation) -> contextlib.AbstractContextManager[object]:
    """An attempt is a child of the call that was accepted, later ones too, and linked: one trace shows them all."""
    return tracing.span(
        f"operation {operation.verb.lower()}",
        {
            "protostar.operation": operation.uid,
            "protostar.instance": operation.target_uid,
            "protostar.attempt": operation.attempt,
        },
        parent=tracing.context_from(operation.trace),
        links=tracing.link_to(operation.trace) if operation.attempt > 1 else (),
    )


def _record(operation: Operation) -> None:
    assert operation.end_time is not None
    seconds = (operation.end_time - operation.create_time).total_seconds()
    _DURATION.record(seconds, {"protostar.verb": operation.verb, "protostar.state": operation.state})
