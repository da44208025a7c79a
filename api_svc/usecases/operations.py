"""Following operations: get, list, wait, watch, cancel, delete."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace

from api_svc.domain import judgement, policy, query
from api_svc.domain.operation import Operation
from api_svc.domain.policy import Caller
from api_svc.domain.states import Verb
from api_svc.ports import Session, Store, Work
from api_svc.usecases.board import Board, Subscription
from api_svc.usecases.settlement import Settlement
from svckit.clock import Clock
from svckit.errors import FailedPrecondition, NotFound, Precondition, Unavailable
from svckit.failpoints import failpoint

# How often the database is read again for an operation that another replica works on.
REREAD_SECONDS = 0.5
MAX_WAIT_SECONDS = 600.0


class Operations:
    """See the module. What another project owns does not exist."""

    def __init__(self, store: Store, work: Work, board: Board, settlement: Settlement, clock: Clock) -> None:
        self._store = store
        self._work = work
        self._board = board
        self._settlement = settlement
        self._clock = clock

    async def get(self, caller: Caller, uid: str) -> Operation:
        """As it is now. :raise NotFound: OPERATION_NOT_FOUND."""
        operation = self._board.live(uid) or await self._read(uid)
        return _permitted(caller, operation, uid, "operation.get")

    async def page(self, caller: Caller, size: int, token: str, filter_text: str) -> tuple[list[Operation], str]:
        """A page and the token of the next."""
        policy.require(caller, "operation.list")
        page = query.operations(size, token, filter_text, caller.scope)
        async with self._store.reading() as session:
            found, more = await session.operations.page(page)
        key = (found[-1].create_time.isoformat(), found[-1].uid) if found else ("", "")
        return [self._board.live(each.uid) or each for each in found], page.token(key) if more else ""

    async def wait(self, caller: Caller, uid: str, seconds: float) -> Operation:
        """As it is when it has ended, or when `seconds` have passed.

        :raise Unavailable: this replica shuts down; ask again.
        """
        until = asyncio.get_running_loop().time() + min(seconds, MAX_WAIT_SECONDS)
        with self._board.subscribe(uid) as news:
            operation = _permitted(caller, news.latest or await self._read(uid), uid, "operation.wait")
            while not operation.done and (left := until - asyncio.get_running_loop().time()) > 0:
                operation = await self._next(news, operation, left)
            return operation

    async def watch(self, caller: Caller, uid: str) -> AsyncGenerator[Operation, None]:
        """As it is now, again at each change, and a last time when it has ended.

        :raise Unavailable: this replica shuts down; ask again.
        """
        with self._board.subscribe(uid) as news:
            operation = _permitted(caller, news.latest or await self._read(uid), uid, "operation.watch")
            yield operation
            while not operation.done:
                later = await self._next(news, operation, REREAD_SECONDS)
                if later != operation:
                    operation = later
                    yield operation

    async def cancel(self, caller: Caller, uid: str) -> None:
        """Have it stopped if it is not too late. Returns when that is noted; how it ends, the operation tells.

        What nobody has begun with ends CANCELLED at once.
        """
        async with self._store.transaction() as session:
            operation = _permitted(caller, await session.operations.find(uid), uid, "operation.cancel")
            if operation.done or not await session.operations.request_cancel(uid):
                return
            ended = await self._end_unbegun(session, operation)
        await failpoint("api.cancel.after_commit")
        if ended is not None:
            self._settlement.announce(ended)
        self._work.cancel(uid)

    async def delete(self, caller: Caller, uid: str) -> None:
        """Forget one that has ended. :raise FailedPrecondition: OPERATION_NOT_DONE."""
        async with self._store.transaction() as session:
            operation = _permitted(caller, await session.operations.find(uid), uid, "operation.delete")
            if not await session.operations.remove(uid):
                raise _not_done(operation)

    async def _read(self, uid: str) -> Operation | None:
        async with self._store.reading() as session:
            return await session.operations.find(uid)

    async def _next(self, news: Subscription, operation: Operation, seconds: float) -> Operation:
        """The operation after a change, or when `seconds` have passed."""
        elsewhere = self._board.live(operation.uid) is None
        await news.next(min(seconds, REREAD_SECONDS) if elsewhere else seconds)
        if self._board.closed:
            raise Unavailable("this server shuts down; ask another one, or again", retry_after=1.0)
        if news.latest is not None and (news.latest.done or not elsewhere):
            return news.latest
        later = self._board.live(operation.uid) or await self._read(operation.uid)
        if later is None:
            raise NotFound.of("operation", operation.name)
        return later

    async def _end_unbegun(self, session: Session, operation: Operation) -> Operation | None:
        """End it here if no host can have heard of it; None if somebody works on it or may have."""
        if not judgement.is_untouched(operation):
            return None
        placed = None
        if operation.verb is not Verb.IMPORT_IMAGE:
            placed = await session.instances.find(operation.target_uid)
        verdict = judgement.cancelled(operation, known=operation.attempt == 0)
        cancelled = replace(operation, cancel_requested=True)
        return await self._settlement.end(session, cancelled, placed.instance if placed else None, verdict, owner=None)


def _permitted(caller: Caller, operation: Operation | None, uid: str, permission: str) -> Operation:
    name = f"operations/{uid}"
    if operation is None:
        raise NotFound.of("operation", name)
    policy.require_visible(caller, operation.project, "operation", name)
    policy.require(caller, permission)
    return operation


def _not_done(operation: Operation) -> FailedPrecondition:
    description = f"{operation.name} is {operation.state}; wait for its end, or cancel it first"
    return FailedPrecondition(
        description,
        reason="OPERATION_NOT_DONE",
        metadata={"operation": operation.name, "state": operation.state},
        precondition=Precondition("OPERATION_STATE", operation.name, description),
    )
