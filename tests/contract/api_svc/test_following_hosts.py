"""What is written of a host that is followed, on both databases."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import Mock

import pytest

from api_svc.adapters.store import SqlStore
from api_svc.domain.host import Facts
from api_svc.domain.observation import Observation
from api_svc.domain.states import PowerState
from api_svc.ports import HostNews
from api_svc.usecases.hosts import HostWatch, Patience

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HEARTBEAT = HostNews()
SEEN = Observation(uid="x", power_state=PowerState.RUNNING, observed_at=NOW)


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


@contextlib.asynccontextmanager
async def followed(store: SqlStore, patience: Patience) -> AsyncIterator[Talking]:
    """A host that is followed, and has said so much that it is known."""
    host: Any = Talking(store)
    watch = HostWatch(store, host, Mock(), Mock(), lambda: host.now, "unix:/x", patience)
    following = asyncio.create_task(watch.run())
    await host.says(HostNews(facts=Facts(name="here")), HostNews(snapshot=()), HEARTBEAT)
    yield host
    following.cancel()


@pytest.mark.parametrize("hours", [-1, 1])
async def test_a_clock_that_was_set_is_noticed_at_the_next_word(store: SqlStore, hours: int) -> None:
    async with followed(store, Patience(write=60.0)) as host:
        host.now += timedelta(seconds=1)
        await host.says(HEARTBEAT)
        assert await host.last_seen() == NOW, "it was written a moment ago"
        host.now += timedelta(hours=hours)
        await host.says(HEARTBEAT)
        assert await host.last_seen() == host.now


@pytest.mark.parametrize("word", [HEARTBEAT, HostNews(observation=SEEN), HostNews(facts=Facts(name="here"))])
async def test_every_word_of_a_host_says_that_it_is_there(store: SqlStore, word: HostNews) -> None:
    async with followed(store, Patience(write=0.0)) as host:
        host.now += timedelta(seconds=1)
        await host.says(word)
        assert await host.last_seen() == host.now
