"""Reality is watched: hosts that go silent, guests that stop, start or crash without a command."""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path
from typing import Any

import pytest
from google.longrunning import operations_pb2
from protostar.api.v1 import host_pb2, instance_pb2

from tests.fakes.api_peers import OFF, RUNNING, Peers
from tests.integration.api_door import Door, becomes, eventually, host_is_up, metadata, pb, serving, settings_for

STOPPED, ACTIVE = instance_pb2.VM_STATE_STOPPED, instance_pb2.VM_STATE_ACTIVE
CRASHED = instance_pb2.POWER_STATE_CRASHED
PAUSED = instance_pb2.POWER_STATE_PAUSED


def uid(name: str) -> str:
    return name.partition("/")[2]


def policy(**fields: Any) -> dict[str, Any]:
    return {"policy": instance_pb2.InstancePolicy(**fields)}


async def system_operations(door: Door, name: str) -> list[Any]:
    listed = await door(operations_pb2.ListOperationsRequest(name="operations", filter=f'target = "{name}"'))
    return [each for each in listed.operations if metadata(each).actor == "system"]


async def test_a_host_tells_what_it_is(door: Door) -> None:
    await door.created()

    host = await door(host_pb2.GetHostRequest(name="hosts/here"))
    assert (host.state, host.domain_type, host.vcpus, host.memory_mib) == (host_pb2.HOST_STATE_UP, "test", 16, 8192)
    assert (host.instances, host.vcpus_used, host.memory_mib_used) == (1, 1, 64)
    assert host.last_seen.seconds


async def test_unknown_is_not_off(data: Path, peers: Peers) -> None:
    settings = settings_for(data, peers, power_stale_seconds=0.5)
    async with serving(settings, peers) as door:
        await eventually(lambda: host_is_up(door))
        name = await door.created()
        await peers.take_away("compute")
        gone = await becomes(door, name, power_state=instance_pb2.POWER_STATE_UNKNOWN)
        assert gone.vm_state == ACTIVE and gone.power_state_observed_at.seconds
        listed = await door(pb.ListInstancesRequest(filter='power_state = "UNKNOWN"'))
        assert [each.name for each in listed.instances] == [name]
        host = await door(host_pb2.GetHostRequest(name="hosts/here"))
        assert host.state == host_pb2.HOST_STATE_SILENT
        with pytest.raises(Exception, match="answers and has room"):
            await door.create()
        await peers.bring_back("compute")
        await becomes(door, name, power_state=RUNNING, vm_state=ACTIVE)


@pytest.mark.parametrize("power", [OFF, CRASHED])
async def test_a_guest_that_stops_is_marked(door: Door, peers: Peers, power: int) -> None:
    name = await door.created()
    peers.host.see(uid(name), power, "shutdown")
    stopped = await becomes(door, name, vm_state=STOPPED)
    assert stopped.power_state == power and not await system_operations(door, name)
    await door.done(pb.StartInstanceRequest(name=name))


async def test_a_guest_that_stops_is_left_alone_by_policy(door: Door, peers: Peers) -> None:
    name = await door.created(instance=policy(on_unexpected_stop=instance_pb2.UNEXPECTED_STOP_POLICY_IGNORE))
    peers.host.see(uid(name), OFF)
    assert (await becomes(door, name, power_state=OFF)).vm_state == ACTIVE


async def test_a_guest_that_stops_is_started_again_by_policy(
    door: Door, peers: Peers, monkeypatch: pytest.MonkeyPatch
) -> None:
    from datetime import timedelta

    from api_svc.usecases import observe

    monkeypatch.setattr(observe, "_RESTART_DELAY", timedelta(milliseconds=300))
    name = await door.created(instance=policy(on_unexpected_stop=instance_pb2.UNEXPECTED_STOP_POLICY_RESTART))
    peers.host.see(uid(name), OFF)
    await becomes(door, name, task_state=instance_pb2.TASK_STATE_POWERING_ON)
    await becomes(door, name, vm_state=ACTIVE, power_state=RUNNING, task_state=instance_pb2.TASK_STATE_NONE)
    (operation,) = await system_operations(door, name)
    assert metadata(operation).verb == 3 and peers.host.guests[uid(name)].boots == 2


async def test_a_guest_that_somebody_started_is_adopted(door: Door, peers: Peers) -> None:
    name = await door.stopped()
    peers.host.see(uid(name), RUNNING, "started")
    await becomes(door, name, vm_state=ACTIVE, power_state=RUNNING)
    assert not await system_operations(door, name)


async def test_a_guest_that_somebody_started_is_killed_by_policy(door: Door, peers: Peers) -> None:
    name = await door.stopped(instance=policy(on_unexpected_start=instance_pb2.UNEXPECTED_START_POLICY_KILL))
    peers.host.see(uid(name), RUNNING, "started")
    await eventually(lambda: peers.host.guests[uid(name)].power == OFF)
    await becomes(door, name, vm_state=STOPPED, power_state=OFF, task_state=instance_pb2.TASK_STATE_NONE)
    (operation,) = await system_operations(door, name)
    assert metadata(operation).verb == 4


async def test_a_pause_is_only_told(door: Door, peers: Peers) -> None:
    name = await door.created()
    peers.host.see(uid(name), PAUSED)
    assert (await becomes(door, name, power_state=PAUSED)).vm_state == ACTIVE


async def test_while_work_goes_on_only_the_power_state_is_told(door: Door, peers: Peers) -> None:
    name = await door.created()
    peers.host.hold["launch"] = asyncio.Event()
    operation = await door(pb.RebootInstanceRequest(name=name))
    await eventually(lambda: peers.host.stage(uid(operation.name)) == "launch")
    peers.host.see(uid(name), OFF, "shutdown")
    busy = await becomes(door, name, power_state=OFF)
    assert (busy.vm_state, busy.task_state) == (ACTIVE, instance_pb2.TASK_STATE_REBOOTING)
    peers.host.hold["launch"].set()
    await door.ended(operation)
    assert (await door.get(name)).vm_state == ACTIVE and not await system_operations(door, name)


async def test_what_a_host_said_before_the_last_command_counts_for_nothing(door: Door, peers: Peers) -> None:
    name = await door.created()
    await door.done(pb.StopInstanceRequest(name=name))
    guest = peers.host.guests[uid(name)]
    guest.generation -= 1
    peers.host.see(uid(name), RUNNING)
    guest.generation, guest.power = guest.generation + 1, OFF
    await asyncio.sleep(0.3)
    assert (await door.get(name)).vm_state == STOPPED


async def test_a_comparison_finds_what_no_event_told(door: Door, peers: Peers) -> None:
    on, off = await door.created(), await door.stopped()
    peers.host.guests[uid(on)].power, peers.host.guests[uid(off)].power = OFF, RUNNING
    peers.host.compare()
    await becomes(door, on, vm_state=STOPPED)
    await becomes(door, off, vm_state=ACTIVE)


async def test_an_instance_without_a_domain_is_off(door: Door, peers: Peers, monkeypatch: pytest.MonkeyPatch) -> None:
    from datetime import timedelta

    from api_svc.usecases import observe

    name = await door.created()
    guest = peers.host.guests.pop(uid(name))
    peers.host.compare()
    await asyncio.sleep(0.2)
    assert (await door.get(name)).vm_state == ACTIVE, "it may have been made after the comparison"
    monkeypatch.setattr(observe, "_SETTLED", timedelta())
    peers.host.compare()
    await becomes(door, name, vm_state=STOPPED, power_state=instance_pb2.POWER_STATE_NO_STATE)
    peers.host.guests[guest.uid] = guest
    await door.done(pb.StartInstanceRequest(name=name))


@pytest.mark.parametrize("restarts", [False, True])
async def test_a_host_that_boots_resumes_its_guests_by_policy(data: Path, peers: Peers, restarts: bool) -> None:
    """Also when api_svc itself was away at that time."""
    import contextlib

    async with contextlib.AsyncExitStack() as stack:
        door = await stack.enter_async_context(serving(settings_for(data, peers), peers))
        await eventually(lambda: host_is_up(door))
        resumed, off = await door.created(), await door.stopped()
        stays = await door.created(instance=policy(on_host_boot=instance_pb2.HOST_BOOT_POLICY_STAY_OFF))
        await peers.take_away("compute")
        if restarts:
            await stack.aclose()
        peers.host.boot_id = str(uuid.uuid4())
        for guest in peers.host.guests.values():
            guest.power = OFF
        await peers.bring_back("compute")
        if restarts:
            door = await stack.enter_async_context(serving(settings_for(data, peers), peers))
        await becomes(door, stays, vm_state=STOPPED)
        await eventually(lambda: _ran(peers, resumed))
        await becomes(door, resumed, vm_state=ACTIVE, task_state=instance_pb2.TASK_STATE_NONE)
        assert len(await system_operations(door, resumed)) == 1
        assert peers.host.guests[uid(stays)].boots == peers.host.guests[uid(off)].boots == 1


def _ran(peers: Peers, name: str) -> bool:
    return peers.host.guests[uid(name)].boots == 2


async def test_truth_after_a_deadline_that_nobody_answered(data: Path, peers: Peers) -> None:
    """The host finishes what api_svc had given up on: the guest is adopted, not killed."""
    from tests.integration.test_api_durability import soon

    async with serving(settings_for(data, peers), peers) as door:
        await eventually(lambda: host_is_up(door))
        name = await door.stopped()
        peers.host.hold["launch"] = asyncio.Event()
        operation = await door(pb.StartInstanceRequest(name=name, deadline=soon(1.5)))
        await eventually(lambda: peers.host.stage(uid(operation.name)) == "launch")
        await peers.take_away("compute")
        assert (await door.ended(operation)).error.code == 4
        peers.host.hold["launch"].set()
        await eventually(lambda: peers.host.guests[uid(name)].power == RUNNING)
        await peers.bring_back("compute")
        await becomes(door, name, vm_state=ACTIVE, power_state=RUNNING)
