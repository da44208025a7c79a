"""The connection to libvirt: it comes back, and nobody waits for it without end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import libvirt
import pytest

from compute_svc.adapters import libvirt_connection
from compute_svc.adapters.libvirt_connection import Connection
from compute_svc.adapters.libvirt_events import Events, Subscription
from compute_svc.adapters.libvirt_host import HostSettings
from compute_svc.adapters.libvirt_threads import Threads
from svckit.errors import FailedPrecondition, Unavailable

SYSTEM = "qemu:///system"


class Daemon:
    """A libvirtd that a test may take away."""

    def __init__(self) -> None:
        self.up = True
        self.opened = 0
        self.on_close: Any = None

    def open(self, uri: str) -> Any:
        if not self.up:
            error = libvirt.libvirtError("refused")
            error.err = (libvirt.VIR_ERR_SYSTEM_ERROR, libvirt.VIR_FROM_RPC, "refused", 2, "", "", "", 111, 0)
            raise error
        self.opened += 1
        real = libvirt.openReadOnly("test:///default")
        return _Wrapped(real, self)

    def die(self) -> None:
        self.up = False
        self.on_close(None, 1, None)


class _Wrapped:
    """The test driver's connection with what only remote ones have."""

    def __init__(self, real: libvirt.virConnect, daemon: Daemon) -> None:
        self._real, self._daemon = real, daemon

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def registerCloseCallback(self, callback: Any, opaque: Any) -> None:
        self._daemon.on_close = callback

    def setKeepAlive(self, interval: int, count: int) -> None:
        pass

    def isAlive(self) -> bool:
        return self._daemon.up


@pytest.fixture
def daemon(monkeypatch: pytest.MonkeyPatch) -> Daemon:
    made = Daemon()
    monkeypatch.setattr(libvirt_connection.libvirt, "open", made.open)
    monkeypatch.setattr(libvirt_connection, "_RETRY", 0.01)
    monkeypatch.setattr(libvirt_connection, "_FACTS_SECONDS", 0.05)
    return made


@asynccontextmanager
async def connected(tmp_path: Path, uri: str = SYSTEM) -> AsyncIterator[tuple[Connection, Subscription]]:
    threads, events = Threads(2, "test"), Events(lambda uid: uid)
    connection = Connection(HostSettings(name="here", uri=uri, disks=tmp_path), threads, events)
    await connection.check()
    running = asyncio.ensure_future(connection.run())
    with events.watch() as subscription:
        yield connection, subscription
    running.cancel()
    await connection.close()


async def _again(subscription: Subscription) -> None:
    async with asyncio.timeout(20):
        while (event := await subscription.next(5)) is None or event.reason != "reconnected":
            pass


async def test_a_libvirtd_that_is_away_at_first_is_waited_for(daemon: Daemon, tmp_path: Path) -> None:
    daemon.up = False
    async with connected(tmp_path) as (connection, subscription):
        with pytest.raises(Unavailable) as away:
            connection.current()
        assert away.value.reason == "LIBVIRT_UNAVAILABLE"
        with pytest.raises(Unavailable):
            await connection.facts()
        daemon.up = True
        await _again(subscription)
        assert connection.current() is not None


async def test_a_libvirtd_that_dies_is_left_and_found_again(daemon: Daemon, tmp_path: Path) -> None:
    async with connected(tmp_path) as (connection, subscription):
        await _again(subscription)
        facts = await _facts(connection)
        daemon.die()
        async with asyncio.timeout(20):
            while daemon.opened == 1 and _is_open(connection):
                await asyncio.sleep(0.01)
        daemon.up = True
        await _again(subscription)
        assert daemon.opened == 2
        assert connection.current() is not None
        assert await _facts(connection) == facts


async def test_a_failed_call_makes_a_dead_connection_known(daemon: Daemon, tmp_path: Path) -> None:
    async with connected(tmp_path) as (connection, subscription):
        await _again(subscription)
        await _facts(connection)
        connection.suspect()
        assert _is_open(connection), "a call may fail on a connection that is fine"
        daemon.up = False
        connection.suspect()
        async with asyncio.timeout(20):
            while _is_open(connection):
                await asyncio.sleep(0.01)


async def test_an_embedded_driver_that_cannot_be_opened_is_told_at_once(tmp_path: Path) -> None:
    root = tmp_path / ("x" * 80)
    with pytest.raises(FailedPrecondition) as refused:
        async with connected(tmp_path, f"qemu:///embed?root={root}"):
            pass
    assert refused.value.reason == "LIBVIRT_ROOT_TOO_LONG"


def _is_open(connection: Connection) -> bool:
    try:
        connection.current()
    except Unavailable:
        return False
    return True


async def _facts(connection: Connection) -> Any:
    async with asyncio.timeout(20):
        while True:
            try:
                return await connection.facts()
            except Unavailable:
                continue
