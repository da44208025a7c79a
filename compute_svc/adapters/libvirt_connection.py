"""The connection to libvirt: opened once, opened again when libvirtd goes away, never waited for without end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import libvirt
import structlog

from compute_svc.adapters import libvirt_embed
from compute_svc.adapters.libvirt_errors import translate
from compute_svc.adapters.libvirt_events import Events, run_event_loop
from compute_svc.adapters.libvirt_host import HostSettings, measure
from compute_svc.adapters.libvirt_threads import Threads
from compute_svc.domain.guest import HostFacts
from svckit.errors import ProtostarError, Unavailable

log = structlog.get_logger(__name__)

_OPEN_SECONDS = 20.0
# Asking a dozen emulators what they can do, once in the life of a root's cache.
_MEASURE_SECONDS = 120.0
_FACTS_SECONDS = 15.0
_RETRY, _LONGEST_RETRY = 0.1, 2.0
# libvirtd is taken for dead when it has not answered 3 pings, 5 s apart.
_KEEPALIVE = (5, 3)


class Connection:
    """A libvirt connection that comes back."""

    def __init__(self, settings: HostSettings, threads: Threads, events: Events) -> None:
        self._settings = settings
        self._threads = threads
        self._events = events
        self._open: libvirt.virConnect | None = None
        self._facts: HostFacts | None = None
        self._why = "not connected yet"
        self._lost = asyncio.Event()
        self._ready = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    @property
    def embedded(self) -> bool:
        """Whether the driver runs in this process."""
        return self._settings.uri.startswith("qemu:///embed")

    @property
    def testing(self) -> bool:
        """Whether it is libvirt's test driver."""
        return self._settings.uri.startswith("test:")

    def current(self) -> libvirt.virConnect:
        """The open connection.

        :raise Unavailable: LIBVIRT_UNAVAILABLE, there is none just now.
        """
        if self._open is None:
            raise Unavailable(
                f"libvirt at {self._settings.uri} is away: {self._why}", reason="LIBVIRT_UNAVAILABLE", retry_after=1.0
            )
        return self._open

    def suspect(self) -> None:
        """A call has failed: see whether the connection is still alive. Does no I/O."""
        if self._open is not None and not self._open.isAlive():
            self._lost.set()

    async def facts(self) -> HostFacts:
        """The host, as measured when the connection was opened; waits for it a while."""
        if self._facts is None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_FACTS_SECONDS):
                    await self._ready.wait()
        if self._facts is None:
            raise Unavailable(
                f"libvirt at {self._settings.uri} is away: {self._why}", reason="LIBVIRT_UNAVAILABLE", retry_after=1.0
            )
        return self._facts

    async def check(self) -> None:
        """Open an embedded or test driver now: what is wrong with it will not be better later.

        :raise ProtostarError: it cannot be opened; the message says what to do.
        """
        if not (self.embedded or self.testing):
            return
        try:
            await self._connect()
        except ProtostarError as error:
            if self.embedded and "libvirt_code" in error.metadata:
                error.message += "; a root serves one process: does another compute_svc use it?"
            raise

    async def run(self) -> None:
        """Keep it open, for as long as the daemon lives."""
        pause = _RETRY
        while True:
            try:
                if self._open is None:
                    await self._connect()
                    self._events.everything_may_have_changed()
                if self._facts is None:
                    self._facts = await self._in_thread(
                        lambda: measure(self.current(), self._settings), "getCapabilities", _MEASURE_SECONDS
                    )
                    log.info("host_measured", domain_type=self._facts.caps.domain_type, arch=self._facts.caps.arch)
                self._ready.set()
                pause = _RETRY
                await self._lost.wait()
                log.warning("libvirt_lost", uri=self._settings.uri)
                self._drop("the connection was lost")
            except ProtostarError as error:
                self._drop(error.message)
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_RETRY)

    async def close(self) -> None:
        """Close it; guests live on."""
        connection, self._open = self._open, None
        if connection is not None:
            with contextlib.suppress(ProtostarError):
                await self._in_thread(connection.close, "close", 5.0)
        self._threads.close()

    async def _connect(self) -> None:
        root = libvirt_embed.root_of(self._settings.uri)
        if root is not None:
            libvirt_embed.prepare(root)
            libvirt_embed.forget_unborn(root)
            if not libvirt_embed.fits_guest_agent(root):
                log.warning("root_too_long_for_guest_agents", root=str(root))
        run_event_loop()
        self._lost.clear()
        self._open = await self._in_thread(self._open_blocking, "open", _OPEN_SECONDS)
        log.info("libvirt_connected", uri=self._settings.uri)

    def _open_blocking(self) -> libvirt.virConnect:
        connection = libvirt.open(self._settings.uri)
        root = libvirt_embed.root_of(self._settings.uri)
        if root is not None:
            libvirt_embed.end_probes(root)
        if not (self.embedded or self.testing):
            connection.registerCloseCallback(self._on_close, None)
            connection.setKeepAlive(*_KEEPALIVE)
        self._events.attach(connection)
        return connection

    def _on_close(self, _: Any, reason: int, __: Any) -> None:
        # Called in libvirt's thread.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._lost.set)

    def _drop(self, why: str) -> None:
        self._open = None
        self._why = why
        self._ready.clear()

    async def _in_thread(self, function: Callable[[], Any], name: str, seconds: float) -> Any:
        call = self._threads.submit(function)
        await asyncio.wait([call.future], timeout=seconds)
        if not call.future.done():
            self._threads.give_up(call)
            raise Unavailable(f"libvirt {name} did not return within {seconds:g} s", reason="LIBVIRT_UNRESPONSIVE")
        try:
            return call.future.result()
        except libvirt.libvirtError as error:
            raise translate(error, name) from error
