"""The dispatcher: has every accepted operation worked on by exactly one replica at a time, until it has ended.

An operation belongs to whoever holds its lease. The replica that accepts it takes the lease in the same transaction;
what has no lease, or an expired one, is claimed. Claiming is woken by the commit that queued something; a sweep is the
net under it. The lease is prolonged while work goes on, and with it what the work has told is written.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

import structlog

from api_svc.domain.instance import Placed
from api_svc.domain.operation import Lease, Operation
from api_svc.domain.states import Verb
from api_svc.ports import Session, Store
from api_svc.usecases.attempt import Attempt, Peers
from api_svc.usecases.board import Board
from api_svc.usecases.settlement import Settlement
from api_svc.usecases.worker import Worker
from svckit.clock import Clock
from svckit.errors import Unavailable

log = structlog.get_logger(__name__)


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
        self._worker = Worker(settlement)
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
            if any(attempt.age >= 0.8 * self._timing.tick for attempt in self._attempts.values()):
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
        elders = [each.ended for each in self._attempts.values() if each.operation.target == operation.target]
        attempt = Attempt(operation, placed, self._peers, self._board, self._clock, elders)
        self._attempts[operation.uid] = attempt
        self._board.publish(operation)
        attempt.task = asyncio.create_task(self._run(attempt), name=operation.name)
        attempt.task.add_done_callback(lambda _: self._on_end(attempt))

    async def _run(self, attempt: Attempt) -> None:
        settled = await self._worker.work(attempt)
        if settled is not None and not settled.done:
            self.wake_in((settled.not_before - self._clock()).total_seconds())

    def _on_end(self, attempt: Attempt) -> None:
        """Also of an attempt that was stopped before it began."""
        del self._attempts[attempt.operation.uid]
        attempt.ended.set()
        if self._board.live(attempt.operation.uid):
            self._board.forget(attempt.operation.uid)
        if self._turned_away:
            self._wake.set()

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
