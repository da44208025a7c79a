"""What a host tells: itself, all guests, what happens to them, and that it lives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from compute_svc.domain.guest import HostFacts, PowerObservation
from compute_svc.domain.model import PowerState
from compute_svc.usecases import watch as watching
from compute_svc.usecases.watch import Heartbeat, HostWatch, Snapshot, Told
from compute_svc.usecases.works import Works
from svckit.errors import Unavailable
from tests.fakes.compute_ports import away
from tests.fakes.compute_scene import UID, Scene


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "STOP_SETTLES", 0.05)


class Watcher:
    """Reads on in the background, so that a test may ask for the next word with a limit."""

    def __init__(self, words: AsyncIterator[Told]) -> None:
        self._words = words

    async def next(self) -> Told:
        async with asyncio.timeout(10):
            return await anext(self._words)

    async def until(self, kind: type[Told]) -> Told:
        while not isinstance(word := await self.next(), kind):
            pass
        return word


@asynccontextmanager
async def watched(scene: Scene) -> AsyncIterator[tuple[Watcher, HostWatch, asyncio.Event]]:
    draining = asyncio.Event()
    scene.works = Works(scene.journals, scene.host, lambda uid: watch.work_ended(uid))
    watch = HostWatch(scene.host, scene.journals, scene.works.busy)
    running = asyncio.ensure_future(watch.run())
    try:
        yield Watcher(watch.watch(draining)), watch, draining
    finally:
        running.cancel()


async def started(scene: Scene, watch: HostWatch) -> None:
    """A guest that runs, of which everything has been told."""
    await scene.start()
    await scene.idle()
    while watch._looks:
        await asyncio.sleep(0)


async def test_the_host_comes_first_and_then_every_guest() -> None:
    scene = Scene()
    async with watched(scene) as (watcher, _, _):
        await scene.start()
        await scene.idle()
        facts, snapshot = await watcher.next(), await watcher.next()
    assert isinstance(facts, HostFacts) and facts.boot_id == "boot-1"
    assert isinstance(snapshot, Snapshot)
    (seen,) = snapshot.observations
    assert (seen.uid, seen.power, seen.reason, seen.generation) == (UID, PowerState.RUNNING, "snapshot", 1)


async def test_what_happens_to_a_guest_is_told_with_libvirts_word() -> None:
    scene = Scene()
    async with watched(scene) as (watcher, watch, _):
        await started(scene, watch)
        await watcher.until(Snapshot)
        scene.hypervisor.becomes(UID, PowerState.PAUSED, "ioerror")
        seen = await watcher.until(PowerObservation)
        assert isinstance(seen, PowerObservation)
        assert (seen.power, seen.reason, seen.generation) == (PowerState.PAUSED, "ioerror", 1)
        scene.hypervisor.end(UID, "crashed")
        seen = await watcher.until(PowerObservation)
        assert isinstance(seen, PowerObservation)
        assert (seen.power, seen.reason) == (PowerState.SHUTDOWN, "crashed")


async def test_the_stop_of_a_reboot_is_not_taken_for_a_stop() -> None:
    scene = Scene()
    async with watched(scene) as (watcher, watch, _):
        await started(scene, watch)
        await watcher.until(Snapshot)
        scene.hypervisor.end(UID, "destroyed")
        await asyncio.sleep(0.01)
        await scene.hypervisor.launch(UID)
        seen = await watcher.until(PowerObservation)
        assert isinstance(seen, PowerObservation)
        assert (seen.power, seen.reason) == (PowerState.RUNNING, "booted")


async def test_what_our_own_work_does_is_told_once_when_it_has_ended() -> None:
    scene = Scene()
    async with watched(scene) as (watcher, _, _):
        await watcher.until(Snapshot)
        await scene.start()
        await scene.idle()
        seen = await watcher.until(PowerObservation)
        assert isinstance(seen, PowerObservation)
        assert (seen.power, seen.generation) == (PowerState.RUNNING, 1)
        await scene.reboot()
        await scene.idle()
        seen = await watcher.until(PowerObservation)
        assert isinstance(seen, PowerObservation)
        assert (seen.power, seen.generation) == (PowerState.RUNNING, 2), "neither the stop nor the start within"


async def test_a_lost_connection_brings_a_new_snapshot() -> None:
    scene = Scene()
    async with watched(scene) as (watcher, _, _):
        await watcher.until(Snapshot)
        scene.world.definitions[UID] = "<domain/>"
        scene.hypervisor.lag()
        snapshot = await watcher.until(Snapshot)
        assert isinstance(snapshot, Snapshot)
        assert [seen.uid for seen in snapshot.observations] == [UID]


async def test_a_heartbeat_tells_that_the_host_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "HEARTBEAT", 0.01)
    scene = Scene()
    async with watched(scene) as (watcher, _, _):
        await watcher.until(Snapshot)
        assert isinstance(await watcher.next(), Heartbeat)


async def test_a_full_comparison_comes_from_time_to_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "HEARTBEAT", 0.01)
    monkeypatch.setattr(watching, "COMPARISON", 0.03)
    scene = Scene()
    async with watched(scene) as (watcher, _, _):
        await watcher.until(Snapshot)
        await watcher.until(Snapshot)


async def test_a_watcher_that_lags_behind_gets_a_snapshot() -> None:
    scene = Scene()
    async with watched(scene) as (watcher, watch, _):
        await watcher.until(Snapshot)
        observation = scene.host.observed(await scene.hypervisor.guest(UID), 0)
        for _ in range(1000):
            watch._tell(observation)
        await watcher.until(Snapshot)


async def test_watching_ends_when_the_host_drains() -> None:
    scene = Scene()
    async with watched(scene) as (watcher, _, draining):
        await watcher.until(Snapshot)
        draining.set()
        with pytest.raises(StopAsyncIteration):
            await watcher.until(PowerObservation)


async def test_without_libvirt_nothing_is_told_that_is_not_known() -> None:
    scene = Scene()
    scene.trouble.raises["list"] = away("LIBVIRT_UNAVAILABLE")
    async with watched(scene) as (watcher, _, _):
        with pytest.raises(Unavailable):
            await watcher.until(Snapshot)
