"""Leases against a model of what they promise, on both databases: one holder at a time, ended once, never forgotten.

Replicas accept, claim, prolong, hand back, end and die as they like, while time passes and clocks are set back.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from api_svc.adapters.schema import metadata, operations
from api_svc.adapters.store import SqlStore
from api_svc.domain.operation import Lease, Operation
from api_svc.domain.query import Page
from api_svc.domain.states import OperationState, WaitingFor
from svckit.database import Database
from tests.unit.api_svc import given

LEASE = timedelta(seconds=6)
ABSURD = timedelta(minutes=1)
OWNERS = st.sampled_from(["a/1", "a/2", "b/1"])


@dataclass
class Known:
    """What the model knows of an operation. No holder and no end: anybody may take it once it is due."""

    operation: Operation
    not_before: datetime
    holder: str | None = None
    until: datetime | None = None
    attempt: int = 0
    cancelled: bool = False
    ended: bool = False

    def due(self, now: datetime) -> bool:
        """Whether it may be claimed: it has waited, and nobody holds it, or somebody who let it run out.

        A time further ahead than anybody asks for was written before the clock was set back.
        """
        waits = now < self.not_before <= now + ABSURD
        held = self.until is not None and now <= self.until <= now + ABSURD
        return not (self.ended or waits or held)


class Leases(RuleBasedStateMachine):
    """Each rule is one transaction of one replica."""

    def __init__(self, store: SqlStore, runner: asyncio.Runner, database: Database) -> None:
        super().__init__()
        self.store, self.runner = store, runner
        self.now = given.NOW
        self.known: dict[str, Known] = {}
        runner.run(_emptied(database))

    @rule(owner=OWNERS, takes=st.booleans(), wait=st.sampled_from([0, 5]))
    def accept(self, owner: str, takes: bool, wait: int) -> None:
        lease = Lease(owner=owner, until=self.now + LEASE) if takes else None
        operation = given.operation(
            given.instance(), uid=str(uuid.uuid4()), attempt=int(takes), lease=lease,
            not_before=self.now + timedelta(seconds=wait),
        )  # fmt: skip
        self.runner.run(self._add(operation))
        self.known[operation.uid] = Known(
            operation, operation.not_before, lease and owner, lease and lease.until, attempt=int(takes)
        )

    @rule(seconds=st.integers(1, 20))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule(minutes=st.integers(2, 300))
    def the_clock_is_set_back(self, minutes: int) -> None:
        self.now -= timedelta(minutes=minutes)

    @rule(owner=OWNERS, limit=st.integers(1, 3))
    def claim(self, owner: str, limit: int) -> None:
        due = sorted((each.not_before, uid) for uid, each in self.known.items() if each.due(self.now))
        claimed = self.runner.run(self._claim(owner, limit))
        assert len(claimed) == min(limit, len(due))
        assert {each.uid for each in claimed} <= {uid for _, uid in due}
        assert [each.not_before for each in claimed] == [moment for moment, _ in due][:limit], "those that wait longest"
        for each in claimed:
            known = self.known[each.uid]
            known.holder, known.until, known.attempt = owner, self.now + LEASE, known.attempt + 1

    @rule(owner=OWNERS)
    def prolong(self, owner: str) -> None:
        """It asks for all there ever were, and keeps what is its own."""
        kept = self.runner.run(self._renew(owner))
        mine = {uid: each for uid, each in self.known.items() if each.holder == owner and not each.ended}
        assert kept == {uid: each.cancelled for uid, each in mine.items()}
        for each in mine.values():
            each.until = self.now + LEASE

    @rule(data=st.data(), owner=OWNERS)
    def end(self, data: st.DataObject, owner: str) -> None:
        """Of any operation: the answer may come long after the lease was lost, or twice."""
        known = self._any(data)
        if known is None:
            return
        ended = replace(known.operation, state=OperationState.SUCCEEDED, end_time=self.now, lease=None)
        assert self.runner.run(self._save(ended, owner)) == (known.holder == owner and not known.ended)
        if known.holder == owner:
            known.ended, known.holder, known.until = True, None, None

    @rule(data=st.data())
    def supersede(self, data: st.DataObject) -> None:
        """A later command ends it, whoever holds it."""
        known = self._any(data)
        if known is None:
            return
        ended = replace(known.operation, state=OperationState.SUPERSEDED, end_time=self.now, lease=None)
        assert self.runner.run(self._save(ended, None)) == (not known.ended)
        known.ended, known.holder, known.until = True, None, None

    @rule(data=st.data(), owner=OWNERS, seconds=st.integers(0, 5))
    def hand_back(self, data: st.DataObject, owner: str, seconds: int) -> None:
        known = self._any(data)
        if known is None:
            return
        again = self.now + timedelta(seconds=seconds)
        queued = replace(known.operation, waiting_for=WaitingFor.RETRY, not_before=again, attempt=known.attempt)
        mine = known.holder == owner and not known.ended
        assert self.runner.run(self._save(replace(queued, lease=None), owner)) == mine
        if mine:
            known.holder, known.until, known.not_before = None, None, again

    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        known = self._any(data)
        if known is None:
            return
        assert self.runner.run(self._cancel(known.operation.uid)) == (not known.ended)
        known.cancelled |= not known.ended

    @rule(replica=st.sampled_from(["a", "b"]))
    def live_again(self, replica: str) -> None:
        """A replica that starts gives back what its earlier lives held, and nobody else's."""
        held = [each for each in self.known.values() if each.holder and each.holder.startswith(f"{replica}/")]
        assert self.runner.run(self._release(replica)) == len(held)
        for each in held:
            each.holder, each.until = None, None

    @invariant()
    def the_rows_say_what_the_model_says(self) -> None:
        rows = {each.uid: each for each in self.runner.run(self._all())}
        assert rows.keys() == self.known.keys()
        for uid, known in self.known.items():
            lease = rows[uid].lease
            assert (lease and lease.owner, lease and lease.until) == (known.holder, known.until)
            assert (rows[uid].done, rows[uid].cancel_requested) == (known.ended, known.cancelled)

    def teardown(self) -> None:
        """When every replica has died, one that lives gets hold of everything that has not ended."""
        self.now += LEASE + ABSURD
        claimed = self.runner.run(self._claim("c/1", 1000))
        assert {each.uid for each in claimed} == {uid for uid, each in self.known.items() if not each.ended}

    def _any(self, data: st.DataObject) -> Known | None:
        return self.known[data.draw(st.sampled_from(sorted(self.known)))] if self.known else None

    # --- transactions ---

    async def _add(self, operation: Operation) -> None:
        async with self.store.transaction() as session:
            await session.operations.add(operation)

    async def _claim(self, owner: str, limit: int) -> list[Operation]:
        async with self.store.transaction() as session:
            return await session.operations.claim(owner, self.now, self.now + LEASE, limit)

    async def _renew(self, owner: str) -> dict[str, bool]:
        async with self.store.transaction() as session:
            return await session.operations.renew(owner, list(self.known), self.now + LEASE)

    async def _save(self, operation: Operation, owner: str | None) -> bool:
        async with self.store.transaction() as session:
            return await session.operations.save(operation, owner=owner)

    async def _cancel(self, uid: str) -> bool:
        async with self.store.transaction() as session:
            return await session.operations.request_cancel(uid)

    async def _release(self, replica: str) -> int:
        async with self.store.transaction() as session:
            return await session.operations.release(replica)

    async def _all(self) -> Iterable[Operation]:
        async with self.store.reading() as session:
            found, more = await session.operations.page(Page(size=1000))
        assert not more
        return found


def test_leases_keep_what_they_promise(database_url: str) -> None:
    with asyncio.Runner() as runner:
        database = runner.run(_made(database_url))
        try:
            run_state_machine_as_test(  # type: ignore[no-untyped-call]
                lambda: Leases(SqlStore(database), runner, database),
                settings=settings(
                    max_examples=60,
                    stateful_step_count=30,
                    deadline=None,
                    suppress_health_check=[HealthCheck.too_slow],
                ),
            )
        finally:
            runner.run(database.close())


async def _made(url: str) -> Database:
    database = Database(url)
    async with database.transaction() as connection:
        await connection.run_sync(metadata.create_all)
    return database


async def _emptied(database: Database) -> None:
    async with database.transaction() as connection:
        await connection.execute(operations.delete())
