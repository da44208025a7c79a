"""Handing every event to a sink, in commit order, going on after a restart where the last life stopped."""

from __future__ import annotations

import asyncio
import contextlib

import structlog

from api_svc.domain import event
from api_svc.domain.policy import LOCAL_ADMIN
from api_svc.ports import EventSink
from api_svc.usecases.events import NOW, Events
from svckit.errors import OutOfRange, ProtostarError

log = structlog.get_logger(__name__)
_RETRY_SECONDS = 1.0


async def run(events: Events, sink: EventSink) -> None:
    """For ever. A sink that has never been written to begins with what happens from now on."""
    cursor = await sink.last() or NOW
    while True:
        try:
            cursor = await _follow(events, sink, cursor)
        except OutOfRange as expired:
            log.warning("events_skipped", since=cursor, until=expired.metadata["oldest"])
            cursor = expired.metadata["oldest"]
        except (ProtostarError, OSError) as error:
            log.warning("event_sink_waits", error=str(error))
            cursor = await _last(sink) or cursor
            await asyncio.sleep(_RETRY_SECONDS)


async def _follow(events: Events, sink: EventSink, cursor: str) -> str:
    async with contextlib.aclosing(events.watch(LOCAL_ADMIN, cursor, "")) as stream:
        async for here, told in stream:
            cursor = here
            if told.type != event.BOOKMARK:
                await sink.write(here, told)
    return cursor


async def _last(sink: EventSink) -> str:
    with contextlib.suppress(OSError):
        return await sink.last()
    return ""
