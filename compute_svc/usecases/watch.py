"""What this host tells of itself: facts, every guest, what happens to them, that it is alive.

While a piece of work is at an instance, what happens to its guest is part of that work; when the work has ended the
guest is looked at once and told. The STOPPED of somebody else's reboot is not taken for a stop: it is looked at a
moment later.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

import structlog

from compute_svc.domain.guest import Guest, GuestEvent, HostFacts, PowerObservation
from compute_svc.ports import Journals
from compute_svc.usecases.host import Host
from svckit.errors import ProtostarError

log = structlog.get_logger(__name__)

HEARTBEAT = 5.0
COMPARISON = 60.0
# The first comparison after a watcher came: what was busy at its snapshot, and told nothing by it, is at rest by now.
SECOND_LOOK = 8.0
# How long after a STOPPED libvirt is asked whether it is still so.
STOP_SETTLES = 1.0
# A watcher that lags behind by more gets a fresh snapshot instead.
_QUEUE = 256


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """Every guest of ours, as it is now."""

    observations: tuple[PowerObservation, ...]


@dataclass(frozen=True, kw_only=True)
class Heartbeat:
    """Nothing happened for a while."""

    time: datetime


Told = HostFacts | Snapshot | PowerObservation | Heartbeat


class HostWatch:
    """Tells any number of watchers. `busy` says whether work is at an instance."""

    def __init__(self, host: Host, journals: Journals, busy: Callable[[str], bool]) -> None:
        self._host = host
        self._journals = journals
        self._busy = busy
        self._watchers: set[asyncio.Queue[PowerObservation | None]] = set()
        self._later: dict[str, asyncio.TimerHandle] = {}
        self._looks: set[asyncio.Future[None]] = set()

    async def run(self) -> None:
        """Pass on libvirt's events, for as long as the daemon lives."""
        with self._host.hypervisor.watch() as events:
            while True:
                event = await events.next(HEARTBEAT)
                if event is not None:
                    self._take(event)

    def work_ended(self, uid: str) -> None:
        """Work at an instance has ended: tell how its guest is now."""
        self._spawn(self._look(uid, ""))

    async def watch(self, draining: asyncio.Event) -> AsyncIterator[Told]:
        """The host, a snapshot, and then what happens; ends when the daemon drains.

        :raise Unavailable: libvirt does not answer, so that nothing true can be told about guests.
        """
        queue: asyncio.Queue[PowerObservation | None] = asyncio.Queue(_QUEUE)
        self._watchers.add(queue)
        try:
            yield await self._host.hypervisor.host()
            yield await self._snapshot()
            clock = asyncio.get_running_loop().time
            compare_at = clock() + SECOND_LOOK
            while not draining.is_set():
                told = await self._next(queue, draining)
                if told is None or clock() >= compare_at:
                    compare_at = clock() + COMPARISON
                    yield await self._snapshot()
                if told is not None:
                    yield told
        finally:
            self._watchers.discard(queue)

    async def _next(
        self, queue: asyncio.Queue[PowerObservation | None], draining: asyncio.Event
    ) -> PowerObservation | Heartbeat | None:
        """None when a snapshot is due, because everything may have changed or too much has."""
        waiting = [asyncio.ensure_future(queue.get()), asyncio.ensure_future(draining.wait())]
        try:
            await asyncio.wait(waiting, timeout=HEARTBEAT, return_when=asyncio.FIRST_COMPLETED)
            got = waiting[0]
            if got.done():
                return got.result()  # type: ignore[return-value]
            return Heartbeat(time=self._host.clock())
        finally:
            for task in waiting:
                task.cancel()

    async def _snapshot(self) -> Snapshot:
        guests = await self._host.hypervisor.guests()
        return Snapshot(observations=tuple([await self._observation(guest, "snapshot") for guest in guests]))

    async def _observation(self, guest: Guest, reason: str) -> PowerObservation:
        journal = await self._journals.read(guest.uid)
        return self._host.observed(guest, journal.applied if journal else 0, reason)

    # --- events ---

    def _take(self, event: GuestEvent) -> None:
        if not event.uid:
            self._tell(None)
            return
        timer = self._later.pop(event.uid, None)
        if timer is not None:
            timer.cancel()
        if self._busy(event.uid):
            return
        delay = STOP_SETTLES if event.ends else 0.0
        self._later[event.uid] = asyncio.get_running_loop().call_later(delay, self._due, event)

    def _due(self, event: GuestEvent) -> None:
        self._later.pop(event.uid, None)
        self._spawn(self._look(event.uid, event.reason))

    async def _look(self, uid: str, reason: str) -> None:
        if self._busy(uid):
            return
        try:
            guest = await self._host.hypervisor.guest(uid)
            self._tell(await self._observation(guest, reason))
        except ProtostarError as error:
            log.warning("guest_not_observed", instance=uid, error=error.message)

    def _tell(self, observation: PowerObservation | None) -> None:
        for queue in self._watchers:
            if queue.full():
                _empty(queue)
                observation = None
            queue.put_nowait(observation)

    def _spawn(self, look: Awaitable[None]) -> None:
        task = asyncio.ensure_future(look)
        self._looks.add(task)
        task.add_done_callback(self._looks.discard)


def _empty(queue: asyncio.Queue[PowerObservation | None]) -> None:
    with contextlib.suppress(asyncio.QueueEmpty):
        while True:
            queue.get_nowait()
