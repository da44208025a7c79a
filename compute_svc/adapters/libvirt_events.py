"""libvirt's events: from its thread into the event loop, in our words, to whoever waits for them."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import libvirt
import structlog

from compute_svc.domain.guest import GuestEvent

log = structlog.get_logger(__name__)

_QUEUE = 256
_STOPPED = {
    libvirt.VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN: "shutdown",
    libvirt.VIR_DOMAIN_EVENT_STOPPED_DESTROYED: "destroyed",
    libvirt.VIR_DOMAIN_EVENT_STOPPED_CRASHED: "crashed",
    libvirt.VIR_DOMAIN_EVENT_STOPPED_MIGRATED: "migrated",
    libvirt.VIR_DOMAIN_EVENT_STOPPED_SAVED: "saved",
    libvirt.VIR_DOMAIN_EVENT_STOPPED_FAILED: "failed",
}
_STARTED = {libvirt.VIR_DOMAIN_EVENT_STARTED_BOOTED: "booted"}
_SUSPENDED = {
    libvirt.VIR_DOMAIN_EVENT_SUSPENDED_IOERROR: "ioerror",
    libvirt.VIR_DOMAIN_EVENT_SUSPENDED_WATCHDOG: "watchdog",
}
# By lifecycle event: the words for its details, and the word for all others. What is not here is not told: that a
# domain was defined, or that a guest has finished shutting down but is still there, changes no power state.
_LIFECYCLE: dict[int, tuple[dict[int, str], str]] = {
    libvirt.VIR_DOMAIN_EVENT_UNDEFINED: ({}, "undefined"),
    libvirt.VIR_DOMAIN_EVENT_STARTED: (_STARTED, "started"),
    libvirt.VIR_DOMAIN_EVENT_SUSPENDED: (_SUSPENDED, "paused"),
    libvirt.VIR_DOMAIN_EVENT_RESUMED: ({}, "resumed"),
    libvirt.VIR_DOMAIN_EVENT_STOPPED: (_STOPPED, "stopped"),
    libvirt.VIR_DOMAIN_EVENT_PMSUSPENDED: ({}, "suspended"),
    libvirt.VIR_DOMAIN_EVENT_CRASHED: ({}, "crashed"),
}

_started = threading.Lock()
_running = False


def run_event_loop() -> None:
    """Have libvirt's own event loop run in a thread, once per process; before the first connection is opened."""
    global _running
    with _started:
        if _running:
            return
        _running = True
        # libvirt prints every error to stderr unless it is told otherwise; ours are raised and logged.
        libvirt.registerErrorHandler(lambda *_: None, None)
        libvirt.virEventRegisterDefaultImpl()
        threading.Thread(target=_run_for_ever, name="libvirt-events", daemon=True).start()


def _run_for_ever() -> None:
    while True:
        try:
            libvirt.virEventRunDefaultImpl()
        except libvirt.libvirtError as error:
            log.error("libvirt_event_loop_failed", error=str(error))


class Subscription:
    """Events as they come. One that is not read in time keeps only the word that all guests are to be looked at."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[GuestEvent] = asyncio.Queue(_QUEUE)

    async def next(self, seconds: float) -> GuestEvent | None:
        """The next event, or None when there was none for so long."""
        try:
            async with asyncio.timeout(seconds):
                return await self._queue.get()
        except TimeoutError:
            return None

    def put(self, event: GuestEvent) -> None:
        if self._queue.full():
            while not self._queue.empty():
                self._queue.get_nowait()
            event = GuestEvent(uid="", reason="lagging")
        self._queue.put_nowait(event)


class Events:
    """Where events are taken from a connection and given to subscribers."""

    def __init__(self, name_of: Callable[[str], str]) -> None:
        self._name_of = name_of
        self._subscribers: dict[str, set[Subscription]] = {}
        self._loop = asyncio.get_running_loop()

    @contextlib.contextmanager
    def watch(self, uid: str = "") -> Iterator[Subscription]:
        """Subscribe to one guest's events, or to all with an empty uid."""
        subscription = Subscription()
        self._subscribers.setdefault(uid, set()).add(subscription)
        try:
            yield subscription
        finally:
            subscribers = self._subscribers[uid]
            subscribers.discard(subscription)
            if not subscribers:
                del self._subscribers[uid]

    def attach(self, connection: libvirt.virConnect) -> None:
        """Take the events of a connection. Blocks."""
        register = connection.domainEventRegisterAny
        register(None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, self._on_lifecycle, None)
        for kind, callback in (
            (libvirt.VIR_DOMAIN_EVENT_ID_REBOOT, self._on_reboot),
            (libvirt.VIR_DOMAIN_EVENT_ID_IO_ERROR, self._on_io_error),
        ):
            # The test driver has lifecycle events only.
            with contextlib.suppress(libvirt.libvirtError):
                register(None, kind, callback, None)

    def everything_may_have_changed(self) -> None:
        """The connection was lost and is back."""
        self._dispatch(GuestEvent(uid="", reason="reconnected"))

    # Called in libvirt's thread.

    def _on_lifecycle(self, _: Any, domain: libvirt.virDomain, event: int, detail: int, __: Any) -> None:
        if event in _LIFECYCLE:
            words, other = _LIFECYCLE[event]
            self._pass_on(domain, words.get(detail, other), ends=event == libvirt.VIR_DOMAIN_EVENT_STOPPED)

    def _on_reboot(self, _: Any, domain: libvirt.virDomain, __: Any) -> None:
        self._pass_on(domain, "rebooted")

    def _on_io_error(self, _: Any, domain: libvirt.virDomain, *__: Any) -> None:
        self._pass_on(domain, "ioerror")

    def _pass_on(self, domain: libvirt.virDomain, reason: str, *, ends: bool = False) -> None:
        uid = domain.UUIDString()
        if domain.name() == self._name_of(uid):
            # The loop may be closed while libvirt's thread lives on.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._dispatch, GuestEvent(uid=uid, reason=reason, ends=ends))

    # Called in the event loop.

    def _dispatch(self, event: GuestEvent) -> None:
        if event.uid:
            receivers = (*self._subscribers.get(event.uid, ()), *self._subscribers.get("", ()))
        else:
            receivers = tuple(each for subscribers in self._subscribers.values() for each in subscribers)
        for subscription in receivers:
            subscription.put(event)
