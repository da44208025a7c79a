"""WatchInstances: commit order, resumed without gap or repeat, cut when too slow."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from protostar.api.v1 import instance_pb2
from sqlalchemy import text

from svckit import channel
from svckit.clock import utcnow
from svckit.database import Database
from svckit.errors import Internal, NotFound, OutOfRange, ResourceExhausted, Unavailable
from tests.fakes.api_peers import Peers
from tests.integration.api_door import Door, eventually, host_is_up, pb, serving, settings_for


class Watch:
    """A watcher that remembers everything it was told."""

    def __init__(self, door: Door, cursor: str = "", instance: str = "") -> None:
        self._call = door.stream(pb.WatchInstancesRequest(cursor=cursor, instance=instance))
        self.told: list[Any] = []

    async def until(self, kind: str, count: int = 1) -> list[Any]:
        """What was told when this kind of event came so often."""
        with channel.errors():
            async with asyncio.timeout(10):
                while sum(each.type == kind for each in self.told) < count:
                    self.told.append(await anext(aiter(self._call)))
        return self.told

    def types(self) -> list[str]:
        return [each.type for each in self.told if each.type != "bookmark"]

    def leave(self) -> None:
        self._call.cancel()


async def test_a_life_is_told_in_order(door: Door, peers: Peers) -> None:
    watch = Watch(door, "now")
    await watch.until("bookmark")
    name = await door.created()
    await door.done(pb.StopInstanceRequest(name=name))
    await door(pb.UpdateInstanceRequest(instance=instance_pb2.Instance(name=name, display_name="new")))
    await door(pb.LockInstanceRequest(name=name))
    await door(pb.UnlockInstanceRequest(name=name))
    peers.host.fail["launch"] = Internal("no", reason="DOMAIN_DIED")
    traced = (("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),)
    failed = await door.ended(await door(pb.StartInstanceRequest(name=name), metadata=traced))
    await door.done(pb.DeleteInstanceRequest(name=name))
    told = await watch.until("instance.delete.end")
    assert watch.types() == [
        "instance.create.start",
        "instance.create.end",
        "instance.power_off.start",
        "instance.power_off.end",
        "instance.update",
        "instance.lock.end",
        "instance.unlock.end",
        "instance.power_on.start",
        "instance.power_on.error",
        "instance.delete.start",
        "instance.delete.end",
    ]
    error = next(each for each in told if each.type == "instance.power_on.error")
    assert (error.operation, error.error.message) == (failed.name, "no")
    assert error.trace_id == "0af7651916cd43dd8448eb211c80319c"
    assert told[-1].instance.vm_state == instance_pb2.VM_STATE_DELETED
    versions = [each.instance.etag for each in told if each.HasField("instance")]
    assert len(set(versions)) == len(versions)


async def test_a_snapshot_comes_first_and_nothing_twice(door: Door) -> None:
    names = [await door.created() for _ in range(3)]
    watch = Watch(door)
    told = await watch.until("bookmark")
    assert [each.instance.name for each in told[:-1]] == names
    assert {each.cursor for each in told[:-1]} == {""} and told[-1].cursor
    await door.done(pb.StopInstanceRequest(name=names[0]))
    await watch.until("instance.power_off.end")
    assert watch.types() == ["instance.snapshot"] * 3 + ["instance.power_off.start", "instance.power_off.end"]


async def test_one_instance_and_one_project_only(door: Door) -> None:
    mia, sam = door.as_("mia"), door.as_("sam", project="other")
    name, other = await mia.created(), await sam.created()
    one, project = Watch(door, instance=name), Watch(sam)
    await one.until("bookmark")
    await project.until("bookmark")
    await mia.done(pb.StopInstanceRequest(name=name))
    await sam.done(pb.StopInstanceRequest(name=other))
    await one.until("instance.power_off.end")
    await project.until("instance.power_off.end")
    assert {each.instance.name for each in one.told if each.HasField("instance")} == {name}
    assert {each.instance.name for each in project.told if each.HasField("instance")} == {other}
    with pytest.raises(NotFound):
        await Watch(sam, instance=name).until("bookmark")


async def test_resuming_gives_the_same_log_wherever_it_breaks(door: Door) -> None:
    whole, broken = Watch(door, "now"), Watch(door, "now")
    first = (await whole.until("bookmark"))[0].cursor
    await broken.until("bookmark")
    pieces: list[Any] = []

    async def follow() -> None:
        cursor = first
        while True:
            watch = Watch(door, cursor)
            await watch.until("bookmark")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.2):
                    for _ in range(random.randint(0, 4)):
                        watch.told.append(await anext(aiter(watch._call)))
            watch.leave()
            pieces.extend(each for each in watch.told if each.type != "bookmark")
            cursor = watch.told[-1].cursor
            if any(each.type == "instance.delete.end" for each in pieces):
                return

    following = asyncio.create_task(follow())
    names = [await door.created() for _ in range(4)]
    await asyncio.gather(*(door.done(pb.StopInstanceRequest(name=name)) for name in names))
    await asyncio.gather(*(door.done(pb.StartInstanceRequest(name=name)) for name in names))
    await door.done(pb.DeleteInstanceRequest(name=names[0]))
    told = await whole.until("instance.delete.end")
    async with asyncio.timeout(10):
        await following
    assert [each.cursor for each in pieces] == [each.cursor for each in told if each.type != "bookmark"]
    assert len(pieces) == 4 * 2 * 3 + 2


async def test_bookmarks_move_the_cursor_on(data: Path, peers: Peers) -> None:
    async with serving(settings_for(data, peers, bookmark_seconds=0.2), peers) as door:
        await eventually(lambda: host_is_up(door))
        sam = door.as_("sam", project="other")
        watch = Watch(sam, "now")
        begin = (await watch.until("bookmark"))[-1].cursor
        await door.created()
        told = await watch.until("bookmark", 6)
        assert watch.types() == [] and told[-1].cursor != begin


async def test_a_cursor_that_is_too_old(data: Path, peers: Peers) -> None:
    async with serving(settings_for(data, peers), peers) as door:
        await eventually(lambda: host_is_up(door))
        watch = Watch(door, "now")
        old = (await watch.until("bookmark"))[-1].cursor
        name = await door.stopped()
        database = Database(f"sqlite+aiosqlite:///{data}/api.sqlite3")
        async with database.transaction() as connection:
            await connection.execute(text("DELETE FROM events WHERE seq < 3"))
        await database.close()
        with pytest.raises(OutOfRange) as caught:
            await Watch(door, old).until("bookmark")
        assert caught.value.reason == "CURSOR_EXPIRED"
        again = Watch(door, caught.value.metadata["oldest"])
        await again.until("instance.power_off.end")
        assert again.told[-1].instance.name == name


async def test_old_events_are_forgotten_but_never_the_newest(data: Path, peers: Peers) -> None:
    async with serving(settings_for(data, peers), peers) as door:
        await eventually(lambda: host_is_up(door))
        await door.stopped()
    database = Database(f"sqlite+aiosqlite:///{data}/api.sqlite3")
    async with database.transaction() as connection:
        await connection.execute(text("UPDATE events SET time = :past"), {"past": utcnow() - timedelta(days=9)})
    async with serving(settings_for(data, peers), peers):

        async def pruned() -> bool:
            async with database.reading() as connection:
                return (await connection.execute(text("SELECT seq FROM events"))).scalars().all() == [4]

        await eventually(pruned)
    await database.close()


async def test_a_reader_that_is_too_slow_is_cut_with_a_cursor(data: Path, peers: Peers) -> None:
    settings = settings_for(data, peers, watch_patience_seconds=0.2)
    async with serving(settings, peers) as door:
        await eventually(lambda: host_is_up(door))
        user_data = b"x" * 60_000
        names = [await door.created(instance={"user_data": user_data}) for _ in range(3)]
        watch = Watch(door, "now")
        await watch.until("bookmark")
        for _ in range(6):
            await asyncio.gather(*(door.done(pb.StopInstanceRequest(name=name)) for name in names))
            await asyncio.gather(*(door.done(pb.StartInstanceRequest(name=name)) for name in names))
        await asyncio.sleep(0.5)
        with pytest.raises(ResourceExhausted) as caught:
            await watch.until("never")
        assert caught.value.reason == "WATCH_TOO_SLOW"
        resumed = Watch(door, caught.value.metadata["cursor"])
        missing = 3 * 6 * 4 - len(watch.types())
        assert missing > 0
        await resumed.until("bookmark")
        while len(resumed.types()) < missing:
            resumed.told.append(await anext(aiter(resumed._call)))
        cursors = [each.cursor for each in (*watch.told, *resumed.told) if each.type != "bookmark"]
        assert len(set(cursors)) == len(cursors) == 3 * 6 * 4


async def test_a_sink_is_given_every_event_also_those_of_its_absence(data: Path, peers: Peers) -> None:
    log = data / "events.jsonl"

    def lines() -> list[dict[str, Any]]:
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    async with serving(settings_for(data, peers, events_sink=str(log)), peers) as door:
        await eventually(lambda: host_is_up(door))
        await asyncio.sleep(0.2)
        name = await door.created()
        await eventually(lambda: len(lines()) == 2)
    async with serving(settings_for(data, peers), peers) as door:
        await eventually(lambda: host_is_up(door))
        await door.done(pb.StopInstanceRequest(name=name))
    async with serving(settings_for(data, peers, events_sink=str(log)), peers) as door:
        await door.done(pb.StartInstanceRequest(name=name))
        await eventually(lambda: len(lines()) == 6)
    told = lines()
    assert [each["type"].removeprefix("instance.") for each in told] == [
        f"{verb}.{phase}" for verb in ("create", "power_off", "power_on") for phase in ("start", "end")
    ]
    assert len({each["id"] for each in told}) == 6
    last = told[-1]
    assert (last["specversion"], last["source"], last["subject"]) == ("1.0", "/protostar/api_svc", name)
    assert last["data"]["instance"]["vmState"] == "VM_STATE_ACTIVE" and last["data"]["operation"]


async def test_watching_ends_when_the_server_drains(data: Path, peers: Peers) -> None:
    async with serving(settings_for(data, peers), peers) as door:
        await eventually(lambda: host_is_up(door))
        watch = Watch(door, "now")
        await watch.until("bookmark")
        ending = asyncio.create_task(watch.until("never"))
        await asyncio.sleep(0.05)
    with pytest.raises(Unavailable):
        await ending
