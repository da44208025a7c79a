"""Nothing lost, nothing twice, nothing stuck: peers that vanish, replicas that die, deadlines that come."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from google.longrunning import operations_pb2
from google.protobuf.timestamp_pb2 import Timestamp
from protostar.api.v1 import image_pb2, instance_pb2, operation_pb2
from protostar.compute.v1 import compute_pb2
from sqlalchemy import text

from svckit import failpoints
from svckit.clock import utcnow
from svckit.database import Database
from svckit.errors import Unavailable
from tests.fakes.api_peers import RUNNING, Peers
from tests.integration.api_door import Door, crashing, eventually, host_is_up, metadata, pb, serving, settings_for
from tests.postgres import Cluster

State = operation_pb2.OperationState
STOPPED, ACTIVE, ERROR = instance_pb2.VM_STATE_STOPPED, instance_pb2.VM_STATE_ACTIVE, instance_pb2.VM_STATE_ERROR
NONE = instance_pb2.TASK_STATE_NONE


def uid(name: str) -> str:
    return name.partition("/")[2]


def soon(seconds: float) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(utcnow() + timedelta(seconds=seconds))
    return stamp


async def waits_for(door: Door, operation: operations_pb2.Operation, what: str) -> None:
    async def waits() -> bool:
        told = metadata(await door.operation(operation.name))
        return told.waiting_for == what and told.state == State.OPERATION_STATE_QUEUED

    await eventually(waits)


async def execute(url: str, statement: str, **values: Any) -> list[Any]:
    database = Database(url)
    try:
        async with database.transaction() as connection:
            result = await connection.execute(text(statement), values)
            return list(result.all()) if result.returns_rows else []
    finally:
        await database.close()


async def test_a_silent_host_is_waited_for(door: Door, peers: Peers) -> None:
    name = await door.stopped()
    await peers.take_away("compute")
    operation = await door(pb.StartInstanceRequest(name=name))
    await waits_for(door, operation, "HOST")
    await peers.bring_back("compute")
    ended = await door.ended(operation)
    assert metadata(ended).attempt > 1 and not ended.HasField("error")
    assert peers.host.guests[uid(name)].boots == 2


async def test_a_broken_stream_is_joined_again(door: Door, peers: Peers) -> None:
    name = await door.stopped()
    peers.host.break_after = "define"
    ended = await door.done(pb.StartInstanceRequest(name=name))
    assert metadata(ended).attempt == 2
    assert peers.host.guests[uid(name)].boots == 2
    assert len(metadata(ended).steps) == 5


async def test_a_silent_netblock_is_named(door: Door, peers: Peers) -> None:
    peers.netblock.fail = Unavailable("netblock_svc is restarting")
    operation = await door.create()
    await waits_for(door, operation, "NETBLOCK_SERVICE")
    peers.netblock.fail = None
    assert not (await door.ended(operation)).HasField("error")


async def test_a_silent_catalogue_is_waited_for(door: Door, peers: Peers) -> None:
    peers.catalogue.fail = Unavailable("no")
    operation = await door(image_pb2.ImportImageRequest(image=image_pb2.Image(display_name="x"), source="/x"))
    await waits_for(door, operation, "IMAGE_SERVICE")
    peers.catalogue.fail = None
    assert not (await door.ended(operation)).HasField("error")


async def test_a_creation_needs_its_peers_at_once(door: Door, peers: Peers) -> None:
    await peers.take_away("netblock")
    with pytest.raises(Unavailable):
        await door.create()
    assert not (await door(pb.ListInstancesRequest())).instances


RESTING = {
    "start": (pb.StartInstanceRequest, STOPPED),
    "stop": (pb.StopInstanceRequest, ACTIVE),
    "reboot": (pb.RebootInstanceRequest, ACTIVE),
}


@pytest.mark.parametrize("verb", RESTING)
async def test_an_operation_ends_by_its_deadline_though_the_host_is_silent(door: Door, peers: Peers, verb: str) -> None:
    request_of, vm_state = RESTING[verb]
    name = await (door.stopped() if vm_state == STOPPED else door.created())
    await peers.take_away("compute")
    ended = await door.ended(await door(request_of(name=name, deadline=soon(1))))
    assert ended.error.code == 4 and state(ended) == State.OPERATION_STATE_FAILED
    assert "HOST" in ended.error.message
    instance = await door.get(name)
    assert (instance.vm_state, instance.task_state) == (vm_state, NONE)
    assert instance.power_state == instance_pb2.POWER_STATE_UNKNOWN
    assert instance.fault.reason == "DEADLINE_EXCEEDED"


async def test_an_operation_ends_by_its_deadline_though_the_host_hangs(door: Door, peers: Peers) -> None:
    name = await door.stopped()
    peers.host.hold["launch"] = asyncio.Event()
    operation = await door(pb.StartInstanceRequest(name=name, deadline=soon(1)))
    ended = await door.ended(operation)
    assert ended.error.code == 4 and "launch" in str(ended.error.details)
    assert (await door.get(name)).vm_state == STOPPED
    await eventually(lambda: any(isinstance(each, compute_pb2.CancelOperationRequest) for each in peers.host.requests))


async def test_a_creation_that_ends_unknown_keeps_its_ports_until_it_is_deleted(door: Door, peers: Peers) -> None:
    peers.host.hold["launch"] = asyncio.Event()
    operation = await door.create(deadline=soon(1))
    assert (await door.ended(operation)).error.code == 4
    name = metadata(operation).target
    assert (await door.get(name)).vm_state == ERROR and peers.netblock.bound
    await door.done(pb.DeleteInstanceRequest(name=name))
    assert not peers.netblock.bound


async def test_cancel_of_what_may_be_running_waits_for_the_host(door: Door, peers: Peers) -> None:
    name = await door.stopped()
    peers.host.hold["launch"] = asyncio.Event()
    operation = await door(pb.StartInstanceRequest(name=name))
    await eventually(lambda: peers.host.stage(uid(operation.name)) == "launch")
    await peers.take_away("compute")
    await waits_for(door, operation, "HOST")
    await door(operations_pb2.CancelOperationRequest(name=operation.name))
    await asyncio.sleep(0.2)
    assert not (await door.operation(operation.name)).done
    await peers.bring_back("compute")
    assert state(await door.ended(operation)) == State.OPERATION_STATE_CANCELLED
    assert peers.host.guests[uid(name)].power != RUNNING


async def test_cancel_is_true_also_when_the_replica_that_began_died(data: Path, peers: Peers) -> None:
    async with crashing(settings_for(data, peers), peers) as door:
        await eventually(lambda: host_is_up(door))
        name = await door.stopped()
        peers.host.hold["launch"] = asyncio.Event()
        operation = await door(pb.StartInstanceRequest(name=name))
        await eventually(lambda: peers.host.stage(uid(operation.name)) == "launch")
        # What the host told is not written yet when it dies.
        await execute(f"sqlite+aiosqlite:///{data}/api.sqlite3", "UPDATE operations SET cancel_requested = 1")
    async with serving(settings_for(data, peers), peers) as door:
        assert state(await door.ended(operation, 5)) == State.OPERATION_STATE_CANCELLED
        assert (await door.get(name)).vm_state == STOPPED
    assert peers.host.works[uid(operation.name)].done and peers.host.guests[uid(name)].power != RUNNING


def state(operation: operations_pb2.Operation) -> Any:
    return metadata(operation).state


@contextlib.asynccontextmanager
async def replicas(urls: dict[str, str], data: Path, peers: Peers) -> AsyncIterator[dict[str, Door]]:
    """Replicas of these names over one database."""
    async with contextlib.AsyncExitStack() as stack:
        doors: dict[str, Door] = {}
        for name, url in urls.items():
            settings = settings_for(data, peers, api_replica=name, api_database_url=url)
            doors[name] = await stack.enter_async_context(serving(settings, peers))
            await eventually(lambda name=name: host_is_up(doors[name]))
        yield doors


VERBS = {
    "start": lambda name: pb.StartInstanceRequest(name=name),
    "stop": lambda name: pb.StopInstanceRequest(name=name),
    "reboot": lambda name: pb.RebootInstanceRequest(name=name, mode=pb.REBOOT_MODE_HARD),
    "delete": lambda name: pb.DeleteInstanceRequest(name=name),
}


@pytest.mark.parametrize("verb", VERBS)
async def test_a_replica_that_dies_goes_on_in_its_next_life(data: Path, peers: Peers, verb: str) -> None:
    settings = settings_for(data, peers)
    async with crashing(settings, peers) as door:
        await eventually(lambda: host_is_up(door))
        name = await (door.stopped() if verb == "start" else door.created())
        last = "destroy" if verb in ("stop", "delete") else "launch"
        peers.host.hold[last] = asyncio.Event()
        operation = await door(VERBS[verb](name))
        await eventually(lambda: peers.host.stage(uid(operation.name)) == last)
    boots = peers.host.guests[uid(name)].boots
    peers.host.hold[last].set()
    async with serving(settings_for(data, peers), peers) as door:
        ended = await door.ended(operation, 5)
        assert not ended.HasField("error") and metadata(ended).attempt == 2
        if verb != "delete":
            assert (await door.get(name)).vm_state == (STOPPED if verb == "stop" else ACTIVE)
            assert peers.host.guests[uid(name)].boots == boots + (verb in ("start", "reboot"))


PLACES = (
    "api.accept.after_commit",
    "api.dispatch.before_call",
    "api.dispatch.after_call",
    "api.finish.before_commit",
    "api.finish.after_commit",
)


@pytest.mark.parametrize("place", PLACES)
async def test_a_replica_killed_between_two_lines_loses_and_doubles_nothing(
    data: Path, peers: Peers, tmp_path: Path, place: str
) -> None:
    once, again = tmp_path / "once", str(uuid.uuid4())
    settings = settings_for(data, peers)
    async with crashing(settings, peers, f"{place}@{once}=kill") as door:
        await eventually(lambda: host_is_up(door))
        name = await door.stopped()
        once.touch()
        request = pb.StartInstanceRequest(name=name, request_id=again)
        with contextlib.suppress(Unavailable):
            await door(request, wait_for_ready=False)
        await eventually(lambda: not once.exists())
    async with serving(settings_for(data, peers), peers) as door:
        operation = await door(request)
        assert not (await door.ended(operation, 5)).HasField("error")
        assert (await door.get(name)).vm_state == ACTIVE
    assert peers.host.guests[uid(name)].boots == 2


async def test_a_bug_in_the_middle_does_not_lose_the_operation(
    door: Door, peers: Peers, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    name = await door.stopped()
    once = tmp_path / "once"
    once.touch()
    monkeypatch.setattr(failpoints, "_POINTS", {"api.dispatch.before_call": ("raise", once)})
    ended = await door.done(pb.StartInstanceRequest(name=name))
    assert metadata(ended).attempt == 2 and peers.host.guests[uid(name)].boots == 2


async def test_an_expired_lease_is_taken_over_by_another_replica(data: Path, peers: Peers) -> None:
    url = f"sqlite+aiosqlite:///{data}/api.sqlite3"
    async with crashing(settings_for(data, peers, api_replica="first"), peers) as door:
        await eventually(lambda: host_is_up(door))
        name = await door.stopped()
        peers.host.hold["launch"] = asyncio.Event()
        operation = await door(pb.StartInstanceRequest(name=name))
        await eventually(lambda: peers.host.stage(uid(operation.name)) == "launch")
    peers.host.hold["launch"].set()
    async with serving(settings_for(data, peers, api_replica="second"), peers) as door:
        await asyncio.sleep(0.3)
        assert not (await door.operation(operation.name)).done
        await execute(url, "UPDATE operations SET lease_until = :past", past=utcnow() - timedelta(seconds=1))
        ended = await door.ended(operation, 5)
        assert metadata(ended).attempt == 2
    assert peers.host.guests[uid(name)].boots == 2


async def test_two_replicas_tell_of_each_others_work(data: Path, peers: Peers) -> None:
    url = f"sqlite+aiosqlite:///{data}/api.sqlite3"
    async with replicas({"a": url, "b": url}, data, peers) as doors:
        name = await doors["a"].stopped()
        peers.host.hold["launch"] = asyncio.Event()
        operation = await doors["a"](pb.StartInstanceRequest(name=name))
        waiting = asyncio.create_task(doors["b"].ended(operation))
        watching = asyncio.create_task(_watch(doors["b"], operation))
        await asyncio.sleep(0.1)
        peers.host.hold["launch"].set()
        assert (await waiting).done
        assert (await watching)[-1].done
        assert (await doors["b"].get(name)).vm_state == ACTIVE


async def _watch(door: Door, operation: operations_pb2.Operation) -> list[operations_pb2.Operation]:
    request = operation_pb2.WatchOperationRequest(name=operation.name)
    return [each.operation async for each in door.stream(request)]


async def test_cancel_and_supersede_reach_the_other_replica(data: Path, peers: Peers) -> None:
    url = f"sqlite+aiosqlite:///{data}/api.sqlite3"
    async with replicas({"a": url, "b": url}, data, peers) as doors:
        name = await doors["a"].stopped()
        peers.host.hold["launch"] = asyncio.Event()
        operation = await doors["a"](pb.StartInstanceRequest(name=name))
        await eventually(lambda: peers.host.stage(uid(operation.name)) == "launch")
        await doors["b"](operations_pb2.CancelOperationRequest(name=operation.name))
        assert state(await doors["b"].ended(operation)) == State.OPERATION_STATE_CANCELLED
        operation = await doors["a"](pb.StartInstanceRequest(name=name))
        await eventually(lambda: peers.host.stage(uid(operation.name)) == "launch")
        await doors["b"].done(pb.StopInstanceRequest(name=name))
        assert state(await doors["a"].ended(operation)) == State.OPERATION_STATE_SUPERSEDED
        assert (await doors["a"].get(name)).vm_state == STOPPED


async def test_two_replicas_on_postgresql_do_everything_once(postgres_url: str, data: Path, peers: Peers) -> None:
    async with replicas({"a": postgres_url, "b": postgres_url}, data, peers) as doors:
        one, two = doors.values()
        names = await asyncio.gather(*(door.created() for door in (one, two) * 8))
        await asyncio.gather(*(two.done(pb.StopInstanceRequest(name=name)) for name in names))
        request_id = [str(uuid.uuid4()) for _ in names]
        answers = await asyncio.gather(
            *(
                door(pb.StartInstanceRequest(name=name, request_id=each))
                for name, each in zip(names, request_id, strict=True)
                for door in (one, two, one)
            )
        )
        assert len({each.name for each in answers}) == len(names)
        await asyncio.gather(*(one.ended(each) for each in answers))
        assert {guest.boots for guest in peers.host.guests.values()} == {2}
        await asyncio.gather(*(one.done(pb.DeleteInstanceRequest(name=name)) for name in names))
        assert not (await two(pb.ListInstancesRequest())).instances


async def test_draining_finishes_what_ends_in_time_and_hands_back_the_rest(data: Path, peers: Peers) -> None:
    async with serving(settings_for(data, peers), peers) as door:
        await eventually(lambda: host_is_up(door))
        slow, quick = await door.stopped(), await door.created()
        peers.host.hold["launch"] = asyncio.Event()
        peers.host.hold["shutdown"] = asyncio.Event()
        start = await door(pb.StartInstanceRequest(name=slow))
        stop = await door(pb.StopInstanceRequest(name=quick))
        waiting = asyncio.create_task(door.ended(stop))
        await eventually(lambda: peers.host.stage(uid(start.name)) == "launch")
        await door.operation(stop.name)  # the wait, sent before, has arrived by now
        asyncio.get_running_loop().call_later(0.3, peers.host.hold["shutdown"].set)
    with pytest.raises(Unavailable):
        await waiting
    rows = await execute(
        f"sqlite+aiosqlite:///{data}/api.sqlite3",
        "SELECT uid, state, lease_owner, waiting_for FROM operations WHERE uid IN (:start, :stop)",
        start=uid(start.name),
        stop=uid(stop.name),
    )
    assert {row[0]: tuple(row[1:]) for row in rows} == {
        uid(start.name): ("QUEUED", None, "DISPATCH"),
        uid(stop.name): ("SUCCEEDED", None, ""),
    }
    peers.host.hold["launch"].set()
    async with serving(settings_for(data, peers, api_replica="another"), peers) as door:
        assert not (await door.ended(start, 5)).HasField("error")
    assert peers.host.guests[uid(slow)].boots == 2


async def test_a_database_that_is_away_refuses_and_comes_back(data: Path, peers: Peers) -> None:
    path = data / "api.sqlite3"
    async with serving(settings_for(data, peers), peers) as door:
        await eventually(lambda: host_is_up(door))
        name = await door.stopped()
        peers.host.hold["launch"] = asyncio.Event()
        operation = await door(pb.StartInstanceRequest(name=name))
        await eventually(lambda: peers.host.stage(uid(operation.name)) == "launch")
        # Somebody else holds the write lock for longer than anybody waits.
        other = Database(f"sqlite+aiosqlite:///{path}")
        async with other.transaction() as connection:
            await connection.execute(text("UPDATE hosts SET state = state"))
            with pytest.raises(Unavailable) as caught:
                await door(pb.StopInstanceRequest(name=name))
            assert (caught.value.reason, caught.value.retry_after) == ("STORAGE_UNAVAILABLE", 1.0)
            peers.host.hold["launch"].set()
            assert (await door.get(name)).task_state == instance_pb2.TASK_STATE_POWERING_ON
        await other.close()
        assert not (await door.ended(operation)).HasField("error")
    assert peers.host.guests[uid(name)].boots == 2


async def test_at_most_so_many_at_a_time(data: Path, peers: Peers) -> None:
    async with serving(settings_for(data, peers, in_flight=2), peers) as door:
        await eventually(lambda: host_is_up(door))
        names = [await door.stopped() for _ in range(5)]
        peers.host.hold["launch"] = asyncio.Event()
        operations = [await door(pb.StartInstanceRequest(name=name)) for name in names]

        def at_launch() -> int:
            return sum(peers.host.stage(uid(each.name)) == "launch" for each in operations)

        await eventually(lambda: at_launch() == 2)
        await asyncio.sleep(0.3)
        assert at_launch() == 2
        waiting = {metadata(await door.operation(each.name)).waiting_for for each in operations}
        assert waiting == {"", "DISPATCH"}
        peers.host.hold["launch"].set()
        await asyncio.gather(*(door.ended(each) for each in operations))
    assert {guest.boots for guest in peers.host.guests.values()} == {2}


async def test_a_postgresql_that_dies_and_comes_back_loses_nothing(data: Path, peers: Peers) -> None:
    with Cluster(crashes=True) as cluster, cluster.database() as url:
        async with serving(settings_for(data, peers, api_database_url=url), peers) as door:
            await eventually(lambda: host_is_up(door))
            name = await door.stopped()
            peers.host.hold["launch"] = asyncio.Event()
            operation = await door(pb.StartInstanceRequest(name=name))
            await eventually(lambda: peers.host.stage(uid(operation.name)) == "launch")
            await asyncio.to_thread(cluster.stop)
            with pytest.raises(Unavailable) as caught:
                await door(pb.StopInstanceRequest(name=name))
            assert caught.value.reason == "STORAGE_UNAVAILABLE"
            peers.host.hold["launch"].set()
            assert not (await door.operation(operation.name)).done, "told from memory, while the end cannot be written"
            await asyncio.to_thread(cluster.start)
            assert not (await door.ended(operation)).HasField("error")
            assert (await door.get(name)).vm_state == ACTIVE
    assert peers.host.guests[uid(name)].boots == 2
