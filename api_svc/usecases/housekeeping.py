"""Forgetting what is old: events and ended operations."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import structlog

from api_svc.ports import Session, Store
from svckit.clock import Clock
from svckit.errors import ProtostarError

log = structlog.get_logger(__name__)
_EVERY_SECONDS = 600.0
_AT_ONCE = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class Retention:
    """How long things are kept. A request id lives as long as its operation."""

    events: timedelta = timedelta(hours=72)
    operations: timedelta = timedelta(days=30)


async def run(store: Store, clock: Clock, retention: Retention) -> None:
    """Forget what is too old, every ten minutes, a little at a time so that nobody waits for it."""
    while True:
        now = clock()
        oldest_event, oldest_operation = now - retention.events, now - retention.operations
        await _prune(store, "events", partial(_prune_events, oldest_event))
        await _prune(store, "operations", partial(_prune_operations, oldest_operation))
        await asyncio.sleep(_EVERY_SECONDS)


async def _prune(store: Store, what: str, prune: Callable[[Session], Awaitable[int]]) -> None:
    gone = 1
    try:
        while gone:
            async with store.transaction() as session:
                gone = await prune(session)
            if gone:
                log.info("pruned", what=what, rows=gone)
    except ProtostarError as error:
        log.warning("pruning_waits", what=what, error=error.message)


async def _prune_events(before: datetime, session: Session) -> int:
    return await session.events.prune(before, _AT_ONCE)


async def _prune_operations(before: datetime, session: Session) -> int:
    return await session.operations.prune(before, _AT_ONCE)
