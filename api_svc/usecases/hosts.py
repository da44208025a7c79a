"""Following a host: what it is, whether it answers, and what it sees of its guests."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import timedelta
from time import monotonic

import structlog

from api_svc.domain.host import Facts
from api_svc.ports import Compute, HostNews, Store, Work
from api_svc.usecases.observe import Observer
from svckit.clock import Clock, Window, lead
from svckit.errors import ProtostarError, Unavailable

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Patience:
    """Seconds: without a word until a host is silent, between writes that it was heard, between tries to reach it.

    A clock that is set by `clock` or more is noticed at the host's next word.
    """

    silent: float = 15.0
    write: float = 10.0
    clock: float = 2.0
    first_retry: float = 0.2
    last_retry: float = 2.0


class HostWatch:
    """One host, by the address of its compute_svc."""

    def __init__(
        self,
        store: Store,
        compute: Compute,
        work: Work,
        observer: Observer,
        clock: Clock,
        address: str,
        patience: Patience,
    ) -> None:
        self._store = store
        self._compute = compute
        self._work = work
        self._observer = observer
        self._clock = clock
        self._address = address
        self._patience = patience
        self._facts: Facts | None = None
        self._heard: float | None = None
        self._written: float | None = None
        self._written_lead = 0.0
        self._silent = False

    async def run(self) -> None:
        """Follow it for ever, however often it goes away."""
        delay = self._patience.first_retry
        while True:
            before = self._heard
            with contextlib.suppress(Exception):
                await self._follow_logged()
            delay = self._patience.first_retry if self._heard != before else min(delay * 2, self._patience.last_retry)
            with contextlib.suppress(ProtostarError):
                await self._note_silence()
            await asyncio.sleep(delay)

    async def _follow_logged(self) -> None:
        try:
            async with contextlib.aclosing(self._compute.watch(self._address)) as stream:
                await self._follow(stream)
        except (Unavailable, TimeoutError) as error:
            if self._facts is not None and not self._silent:
                log.info("host_lost", host=self._facts.name, error=str(error))
        except Exception:
            log.exception("host_watch_failed", address=self._address)
            raise

    async def _follow(self, stream: AsyncGenerator[HostNews, None]) -> None:
        while True:
            async with asyncio.timeout(self._patience.silent):
                news = await anext(stream, None)
            if news is None:
                return
            self._heard = monotonic()
            await self._on_news(news)

    async def _on_news(self, news: HostNews) -> None:
        """Whatever it says, it was heard: one that tells of its guests all the time has no time for heartbeats."""
        if news.facts is not None:
            self._facts = news.facts
        if self._facts is None:
            return
        if news.observation is not None:
            self._observer.note(news.observation)
        if news.snapshot is not None:
            await self._on_snapshot(self._facts, news)
        else:
            await self._write_heard(self._facts)

    async def _on_snapshot(self, facts: Facts, news: HostNews) -> None:
        """A new boot is written down only after its instances were looked after: a crash in between looks again."""
        assert news.snapshot is not None
        async with self._store.reading() as session:
            last_boot = await session.hosts.boot_id(facts.name)
        booted = bool(last_boot) and facts.boot_id != last_boot
        if last_boot is not None:
            await self._observer.compare(facts.name, news.snapshot, host_booted=booted)
        await self._register(facts, is_new=last_boot is None)

    async def _register(self, facts: Facts, *, is_new: bool) -> None:
        now = self._clock()
        async with self._store.transaction() as session:
            await session.hosts.register(facts, self._address, now)
            waiting = await session.operations.hasten(facts.name, now)
        if is_new or self._silent or self._written is None:
            log.info("host_up", host=facts.name, address=self._address, operations_waiting=waiting)
        self._note_written()
        self._silent = False
        self._work.wake_in(0)

    async def _write_heard(self, facts: Facts) -> None:
        if not self._must_write():
            return
        async with self._store.transaction() as session:
            await session.hosts.seen(facts.name, self._clock())
        self._note_written()

    def _must_write(self) -> bool:
        """It was written some time ago, or at a time of day that somebody has changed since; never before the first
        comparison, which makes the host known.
        """
        if self._written is None:
            return False
        was_set = abs(lead(self._clock) - self._written_lead) >= self._patience.clock
        return was_set or monotonic() - self._written >= self._patience.write

    def _note_written(self) -> None:
        self._written, self._written_lead = monotonic(), lead(self._clock)

    async def _note_silence(self) -> None:
        if self._facts is None or self._heard is None or self._silent:
            return
        seconds = monotonic() - self._heard
        if seconds < self._patience.silent:
            return
        fresh = Window.lately(self._clock(), timedelta(seconds=self._patience.silent))
        async with self._store.transaction() as session:
            news = await session.hosts.silence(self._facts.name, fresh)
        self._silent = True
        if news:
            log.warning("host_silent", host=self._facts.name, seconds=round(seconds))
