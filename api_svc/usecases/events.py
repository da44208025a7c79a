"""WatchInstances: the events table as a stream that can be resumed.

The table is the buffer: a reader is given what comes after his cursor as fast as he takes it. So nothing is lost,
nothing comes twice, and a slow reader costs no memory; one that is far too slow is cut, and told where he was.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from api_svc.domain import event, policy
from api_svc.domain.event import Event
from api_svc.domain.policy import Caller
from api_svc.ports import Store
from api_svc.usecases.board import Bell
from api_svc.usecases.reading import Reading
from svckit.clock import Clock
from svckit.errors import OutOfRange, ResourceExhausted, Unavailable

NOW = "now"


@dataclass(frozen=True, kw_only=True, slots=True)
class Pace:
    """Seconds between bookmarks, between looks for what other replicas wrote, and that one event may wait for its
    reader; and events read at once."""

    bookmark: float = 10.0
    reread: float = 1.0
    patience: float = 60.0
    batch: int = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class Watched:
    """What a reader wants to see: a project's or all, one instance's or all."""

    scope: str | None
    instance: str


class Events:
    """See the module."""

    def __init__(self, store: Store, reading: Reading, bell: Bell, clock: Clock, pace: Pace) -> None:
        self._store = store
        self._reading = reading
        self._bell = bell
        self._clock = clock
        self._pace = pace

    async def watch(self, caller: Caller, cursor: str, instance: str) -> AsyncGenerator[tuple[str, Event], None]:
        """Events and the cursor after each: a snapshot first if there is no cursor.

        :raise NotFound: INSTANCE_NOT_FOUND, of a single instance that is to be watched.
        :raise OutOfRange: CURSOR_EXPIRED; begin with a snapshot.
        :raise ResourceExhausted: WATCH_TOO_SLOW, with the cursor to go on from.
        :raise Unavailable: this replica shuts down; go on elsewhere from the last cursor.
        """
        policy.require(caller, "instance.watch")
        if instance and cursor in ("", NOW):
            await self._reading.get(caller, instance)
        watched = Watched(scope=caller.scope, instance=instance)
        begin = await self._begin(cursor)
        known: dict[str, int] = {}
        if not cursor:
            async for snapshot in self._snapshot(caller, watched):
                assert snapshot.instance is not None
                known[snapshot.instance.uid] = snapshot.instance.version
                yield "", snapshot
        async with contextlib.aclosing(self._changes(watched, begin, known)) as changes:
            async for change in changes:
                yield change

    async def _begin(self, cursor: str) -> int:
        async with self._store.reading() as session:
            oldest, newest = await session.events.bounds()
        if cursor in ("", NOW):
            return newest
        seq = event.decode_cursor(cursor)
        if seq + 1 < oldest:
            raise OutOfRange(
                "this cursor is too old, events after it are gone; begin with an empty cursor",
                reason="CURSOR_EXPIRED",
                metadata={"cursor": cursor, "oldest": event.encode_cursor(oldest - 1)},
            )
        return seq

    async def _snapshot(self, caller: Caller, watched: Watched) -> AsyncGenerator[Event, None]:
        if watched.instance:
            found = [await self._reading.get(caller, watched.instance)]
            token = ""
        else:
            found, token = await self._reading.page(caller, self._pace.batch, "", "")
        while True:
            for instance in found:
                yield Event(type=event.SNAPSHOT, time=self._clock(), instance=instance)
            if not token:
                return
            found, token = await self._reading.page(caller, self._pace.batch, token, "")

    async def _changes(
        self, watched: Watched, begin: int, known: dict[str, int]
    ) -> AsyncGenerator[tuple[str, Event], None]:
        """What comes after `begin`, but for what the snapshot told already: `known` are its versions."""
        seq, told_at = begin, _time()
        yield self._bookmark(seq)
        while True:
            rung = self._bell.listen()
            newest = await self._newest()
            found = await self._after(seq, watched) if newest > seq else []
            for each in found:
                seq, told_at = each.seq, _time()
                if not _is_known(each, known):
                    yield event.encode_cursor(seq), each
                self._check_patience(told_at, seq)
            if found:
                continue
            # `newest` was read before the look that found nothing: everything up to there was seen.
            seq = newest
            if _time() - told_at >= self._pace.bookmark:
                told_at = _time()
                yield self._bookmark(seq)
            await self._sleep(rung)

    async def _after(self, seq: int, watched: Watched) -> list[Event]:
        async with self._store.reading() as session:
            return await session.events.after(seq, self._pace.batch, watched.scope, watched.instance)

    async def _newest(self) -> int:
        async with self._store.reading() as session:
            return (await session.events.bounds())[1]

    async def _sleep(self, rung: asyncio.Event) -> None:
        if not self._bell.closed:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._pace.reread):
                    await rung.wait()
        if self._bell.closed:
            raise Unavailable("this server shuts down; go on elsewhere from your last cursor", retry_after=1.0)

    def _check_patience(self, began: float, seq: int) -> None:
        if _time() - began > self._pace.patience:
            raise ResourceExhausted(
                f"an event was not taken within {self._pace.patience:g} s; go on from the cursor in this error",
                reason="WATCH_TOO_SLOW",
                metadata={"cursor": event.encode_cursor(seq)},
                retry_after=1.0,
            )

    def _bookmark(self, seq: int) -> tuple[str, Event]:
        return event.encode_cursor(seq), Event(type=event.BOOKMARK, time=self._clock(), seq=seq)


def _is_known(each: Event, known: dict[str, int]) -> bool:
    return each.instance is not None and each.instance.version <= known.get(each.instance.uid, 0)


def _time() -> float:
    return asyncio.get_running_loop().time()
