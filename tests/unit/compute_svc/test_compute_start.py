"""The start: what it does, what it skips, and that a start that fails or is cancelled leaves everything as it was."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from compute_svc.domain import steps
from compute_svc.domain.model import PowerState, VolumeBlockDevice
from compute_svc.domain.steps import StepState
from svckit.errors import (
    Cancelled,
    DeadlineExceeded,
    FailedPrecondition,
    Internal,
    ResourceExhausted,
    Unavailable,
)
from tests.fakes.compute_ports import away
from tests.fakes.compute_scene import UID, Scene, told

# Every call that a start makes and that can fail, in the order of a first start; "after" means that it had its effect.
FIRST = {
    "network_info": "network_info",
    "block_device_info": "block_device_info",
    "look": "destroy",
    "names": "instance_dir",
    "make": "instance_dir",
    "make after": "instance_dir",
    "ensure": "backing",
    "ensure after": "backing",
    "build_config_drive": "config_drive",
    "build_config_drive after": "config_drive",
    "define": "define",
    "define after": "define",
    "launch": "launch",
    "launch after": "launch",
}
# A later one whose definition and config drive change.
CHANGED = {
    **{call: step for call, step in FIRST.items() if not call.startswith("make")},
    "undefine": "undefine",
    "undefine after": "undefine",
}


async def _changed_before(scene: Scene) -> dict[str, str]:
    (await scene.start()).well()
    (await scene.stop()).well()
    return {"display_name": "renamed"}


async def _nothing_before(scene: Scene) -> dict[str, str]:
    return {}


Before = Callable[[Scene], Awaitable[dict[str, str]]]
WHERE = [(_nothing_before, call, step) for call, step in FIRST.items()]
WHERE += [(_changed_before, call, step) for call, step in CHANGED.items()]
everywhere = pytest.mark.parametrize(
    ("before", "call", "step"), WHERE, ids=lambda value: getattr(value, "__name__", value)
)


async def test_first_start_does_every_step_in_order() -> None:
    scene = Scene()
    heard = await scene.start()
    assert list(heard.states()) == list(steps.START)
    skipped = {name for name, state in heard.states().items() if state is StepState.SKIPPED}
    assert skipped == {"destroy", "undefine"}
    assert heard.result.power.power is PowerState.RUNNING
    assert not heard.result.fast_start
    assert scene.world.boots[UID] == 1
    assert set(scene.world.files[UID]) == {"disk", "disk.swap", "disk.config", "console.log"}


async def test_unchanged_instance_starts_fast() -> None:
    scene = Scene()
    first = await scene.start()
    await scene.stop()
    heard = await scene.start()
    assert heard.result.fast_start
    assert heard.states() == first.states() | dict.fromkeys(
        ("instance_dir", "config_drive", "undefine", "define"), StepState.SKIPPED
    )
    assert scene.world.boots[UID] == 2


async def test_repair_skips_nothing() -> None:
    scene = Scene()
    await scene.start()
    await scene.stop()
    heard = await scene.start(repair=True)
    assert not heard.result.fast_start
    assert heard.last("define").state is heard.last("undefine").state is StepState.DONE
    assert heard.last("config_drive").detail == "rebuilt"


async def test_a_guest_that_runs_is_powered_off_first() -> None:
    scene = Scene()
    await scene.start()
    heard = await scene.start()
    assert heard.last("destroy").state is StepState.DONE
    assert heard.result.power.power is PowerState.RUNNING
    assert scene.world.boots[UID] == 2


@everywhere
async def test_failed_start_leaves_everything_as_it_was(before: Before, call: str, step: str) -> None:
    scene = Scene()
    spec = await before(scene)
    await scene.idle()
    picture = scene.world.picture(UID)
    scene.trouble.once[call] = _broken()
    heard = await scene.start(**spec)
    assert heard.reason == "BROKEN"
    assert heard.error is not None and heard.error.metadata["step"] == step
    assert "leftovers" not in heard.error.metadata
    assert heard.last(step).state in (StepState.FAILED, StepState.UNDONE)
    assert scene.world.picture(UID) == picture
    await scene.idle()
    assert (await scene.start(**spec)).well().power.power is PowerState.RUNNING


@everywhere
async def test_cancelled_start_leaves_everything_as_it_was(before: Before, call: str, step: str) -> None:
    scene = Scene()
    spec = await before(scene)
    await scene.idle()
    picture = scene.world.picture(UID)
    gate, command = scene.trouble.hold(call), scene.command()
    progress = await scene.begin_start(command, **spec)
    await scene.trouble.reached[call].wait()
    del scene.trouble.gates[call]
    assert await scene.works.cancel(UID, command.operation)
    gate.set()
    heard = await told(progress)
    assert isinstance(heard.error, Cancelled)
    assert heard.error.metadata["step"] == step
    assert scene.world.picture(UID) == picture
    again = await scene.start(scene.command(command.operation, command.generation))
    assert again.error is not None, "a cancelled operation that is sent again is not begun again"
    assert (again.error.reason, again.error.metadata) == (heard.error.reason, heard.error.metadata)


def _broken() -> FailedPrecondition:
    """A fresh one: errors gather metadata on their way."""
    return FailedPrecondition("it broke", reason="BROKEN")


async def test_an_operation_ends_by_its_deadline_and_is_undone() -> None:
    scene = Scene()
    scene.trouble.hold("ensure")
    heard = await scene.start(scene.command(seconds=0.2))
    assert isinstance(heard.error, DeadlineExceeded)
    assert heard.reason == "DEADLINE_EXCEEDED"
    assert heard.error.metadata["step"] == "backing"
    assert scene.world.picture(UID) == (None, None, None)


async def test_time_that_is_up_at_the_beginning_is_up() -> None:
    scene = Scene()
    heard = await scene.start(scene.command(seconds=0.0))
    assert isinstance(heard.error, DeadlineExceeded)
    assert scene.world.picture(UID) == (None, None, None)


async def test_a_peer_that_is_away_is_waited_for_and_named() -> None:
    scene = Scene()
    scene.trouble.raises["network_info"] = away("NETBLOCK_UNAVAILABLE")
    progress = await scene.begin_start()
    following = asyncio.ensure_future(told(progress))
    while not any(step.detail == "waiting for netblock_svc" for step in progress.steps):
        await asyncio.sleep(0.01)
    del scene.trouble.raises["network_info"]
    heard = await following
    assert heard.well().power.power is PowerState.RUNNING
    assert "waiting for netblock_svc" in [step.detail for step in heard.steps if step.state is StepState.RUNNING]


@pytest.mark.parametrize(("call", "step"), [("network_info", "network_info"), ("ensure", "backing")])
async def test_a_peer_that_stays_away_is_what_the_operation_failed_of(call: str, step: str) -> None:
    scene = Scene()
    scene.trouble.raises[call] = away("PEER_UNAVAILABLE")
    heard = await scene.start(scene.command(seconds=0.5))
    assert isinstance(heard.error, Unavailable)
    assert (heard.reason, heard.error.metadata["step"]) == ("PEER_UNAVAILABLE", step)
    assert scene.world.picture(UID) == (None, None, None)


@pytest.mark.parametrize("call", ["look", "define", "define after", "launch", "launch after"])
async def test_libvirt_that_goes_away_and_comes_back_does_not_fail_a_start(call: str) -> None:
    scene = Scene()
    scene.trouble.once[call] = away("LIBVIRT_UNAVAILABLE")
    heard = await scene.start()
    assert heard.well().power.power is PowerState.RUNNING
    assert scene.world.boots[UID] == 1
    assert any(step.detail == "waiting for libvirt" for step in heard.steps)


async def test_a_volume_without_connection_refuses_the_start() -> None:
    scene = Scene()
    plain = scene.netblock.devices
    volume = VolumeBlockDevice(volume_id="5d6f1a9e-1111-4222-8333-944445555666")
    scene.netblock.devices = lambda spec: replace(plain(spec), volumes=(volume,))
    heard = await scene.start()
    assert isinstance(heard.error, FailedPrecondition)
    assert heard.reason == "VOLUME_NOT_CONNECTED"
    assert heard.error.metadata == {"volume": volume.volume_id, "step": "block_device_info"}
    assert scene.world.picture(UID) == (None, None, None)


async def test_a_guest_that_dies_at_once_fails_with_the_end_of_its_log() -> None:
    scene = Scene()
    scene.hypervisor.dies_at_once = True
    heard = await scene.start()
    assert heard.reason == "DOMAIN_DIED"
    assert heard.error is not None and heard.error.metadata["log_tail"] == "qemu: terminating"
    assert scene.world.picture(UID) == (None, None, None)


async def test_a_guest_that_is_off_when_looked_at_has_died() -> None:
    scene = Scene()
    gate = scene.trouble.hold("launch after")
    progress = await scene.begin_start()
    await scene.trouble.reached["launch after"].wait()
    scene.hypervisor.end(UID, "crashed")
    gate.set()
    heard = await told(progress)
    assert (heard.reason, heard.last("running").state) == ("DOMAIN_DIED", StepState.FAILED)
    assert "crashed" in str(heard.error)


async def test_a_guest_that_begins_paused_is_waited_for() -> None:
    scene = Scene()
    scene.hypervisor.born = PowerState.PAUSED
    progress = await scene.begin_start()
    while UID not in scene.world.running:
        await asyncio.sleep(0)
    await asyncio.sleep(0.01)
    scene.hypervisor.becomes(UID, PowerState.RUNNING, "resumed")
    assert (await told(progress)).well().power.power is PowerState.RUNNING


async def test_a_guest_that_stays_paused_fails() -> None:
    scene = Scene()
    scene.hypervisor.born = PowerState.PAUSED
    heard = await scene.start(scene.command(seconds=0.3))
    assert isinstance(heard.error, DeadlineExceeded)
    assert heard.error.metadata["step"] == "running"
    assert scene.world.picture(UID) == (None, None, None)


async def test_what_cannot_be_undone_is_named_and_the_next_start_repairs_it() -> None:
    scene = Scene()
    scene.trouble.once["launch after"] = _broken()
    scene.trouble.raises["destroy"] = Internal("qemu is stuck", reason="LIBVIRT_FAILED")
    heard = await scene.start()
    assert heard.error is not None
    assert heard.error.metadata["leftovers"] == "a guest that may be running"
    assert UID in scene.world.running
    scene.trouble.raises.clear()
    await scene.idle()
    again = await scene.start()
    assert again.last("destroy").state is StepState.DONE
    assert again.well().power.power is PowerState.RUNNING


async def test_a_domain_of_somebody_else_is_not_touched() -> None:
    scene = Scene()
    scene.world.definitions[UID] = "<domain/>"
    scene.hypervisor.foreign.add(UID)
    heard = await scene.start()
    assert heard.reason == "DOMAIN_NOT_OURS"
    assert scene.world.definitions == {UID: "<domain/>"}


async def test_a_full_disk_refuses_before_anything_is_done() -> None:
    scene = Scene()
    scene.trouble.raises["journal append"] = ResourceExhausted("full", reason="NO_SPACE")
    heard = await scene.start()
    assert (heard.reason, heard.states()["claim"]) == ("NO_SPACE", StepState.FAILED)
    assert scene.world.picture(UID) == (None, None, None)


async def test_nothing_is_done_before_the_claim_survives_power_loss() -> None:
    scene = Scene()
    scene.trouble.once["journal sync"] = Internal("I/O error", reason="JOURNAL_UNUSABLE")
    heard = await scene.start()
    assert heard.reason == "JOURNAL_UNUSABLE"
    assert scene.world.picture(UID) == (None, None, None)


async def test_boots_are_counted_and_marked_once_each() -> None:
    scene = Scene()
    for _ in range(3):
        await scene.start()
        await scene.stop()
    assert [boot for _, boot, _ in scene.consoles.marks] == [1, 2, 3]


async def test_heavy_steps_take_turns() -> None:
    scene = Scene()
    scene.host.launching._value = 1
    async with scene.host.launching:
        progress = await scene.begin_start()
        while not any("free slot" in step.detail for step in progress.steps):
            await asyncio.sleep(0)
        assert UID not in scene.world.running
    assert (await told(progress)).well()
