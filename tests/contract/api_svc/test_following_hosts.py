"""What is written of a host that is followed, on both databases."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import Mock

import pytest

from api_svc.adapters.store import SqlStore
from api_svc.domain.host import Facts
from api_svc.ports import HostNews
from api_svc.usecases.hosts import HostWatch, Patience

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HEARTBEAT = HostNews()


class Talking:
    """A host that says what it is told to say, by a clock that can be set."""

    def __init__(self, store: SqlStore) -> None:
        self._store = store
        self._news: asyncio.Queue[HostNews] = asyncio.Queue()
        self.now = NOW

    async def watch(self, address: str) -> AsyncGenerator[HostNews, None]:
        while True:
            news = await self._news.get()
            yield news
            self._news.task_done()

    async def says(self, *news: HostNews) -> None:
        """Until all of it was taken."""
        for each in news:
            self._news.put_nowait(each)
        await self._news.join()

    async def last_seen(self) -> datetime:
        async with self._store.reading() as session:
            host = await session.hosts.find("here")
        assert host is not None
        return host.last_seen


@pytest.mark.parametrize("hours", [-1, 1])
async def test_a_clock_that_was_set_is_noticed_at_the_next_word(store: SqlStore, hours: int) -> None:
    host = Talking(store)
    peers: Any = host
    watch = HostWatch(store, peers, Mock(), Mock(), lambda: host.now, "unix:/x", Patience())
    following = asyncio.create_task(watch.run())
    try:
        await host.says(HostNews(facts=Facts(name="here")), HostNews(snapshot=()), HEARTBEAT)
        host.now += timedelta(seconds=1)
        await host.says(HEARTBEAT)
        assert await host.last_seen() == NOW, "it was written a moment ago"
        host.now += timedelta(hours=hours)
        await host.says(HEARTBEAT)
        assert await host.last_seen() == host.now
    finally:
        following.cancel()
