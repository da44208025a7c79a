"""Who may work at an instance: joining, answering, resuming, superseding, cancelling, draining; and crashes anywhere.

The promise behind all of it: the same operation never boots a guest twice, and whatever is interrupted can be brought
to its end.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from compute_svc.domain.journal import Phase
from compute_svc.domain.model import PowerState
from compute_svc.domain.results import RebootMode, StopMode, StopOutcome
from compute_svc.domain.steps import StepState
from compute_svc.domain.undo import RestoreConfigDrive
from svckit.errors import Aborted, Cancelled, FailedPrecondition, Internal, NotFound, Unavailable
from tests.fakes.compute_ports import away
from tests.fakes.compute_scene import UID, Scene, told
from tests.unit.compute_svc.test_compute_start import CHANGED, FIRST

# Where a crash may hit a first start: at every call, before it had its effect and after.
CRASHES = ["journal append", "journal sync", *FIRST]


async def _crash_at(scene: Scene, call: str, operation: str, generation: int, **spec: str) -> None:
    scene.trouble.hold(call)
    await scene.begin_start(scene.command(operation, generation), **spec)
    await scene.trouble.reached[call].wait()
    await scene.crash()
    scene.restart()


@pytest.mark.parametrize("call", CRASHES)
async def test_interrupted_start_is_resumed_and_boots_once(call: str) -> None:
    scene = Scene()
    await _crash_at(scene, call, "op-1", 1)
    heard = await scene.start(scene.command("op-1", 1, attempt=2))
    assert heard.well().power.power is PowerState.RUNNING
    assert scene.world.boots[UID] == 1
    assert len(scene.consoles.marks) == 1
    await scene.idle()
    assert scene.world.journals[UID].phase is Phase.ENDED
    assert set(scene.world.files[UID]) == {"disk", "disk.swap", "disk.config", "console.log"}


async def test_what_a_crash_kept_from_being_settled_is_tidied_up_at_start_up() -> None:
    scene = Scene()
    await scene.start()
    await scene.stop()
    await scene.idle()
    scene.trouble.hold("journal settle")
    await scene.begin_start(scene.command("op-3", 3), display_name="renamed")
    await scene.trouble.reached["journal settle"].wait()
    ended = replace(scene.world.journals[UID], undo=(RestoreConfigDrive(),))
    await scene.crash()
    scene.restart()
    scene.world.journals[UID] = ended
    scene.folders.kept[UID, "disk.config"] = b"older"
    await scene.works.tidy(await scene.journals.sweep(ended.updated_at))
    assert not scene.folders.kept
    assert scene.world.journals[UID] == replace(ended, undo=(), launch=None)


@pytest.mark.parametrize("call", [*CHANGED, "journal append"])
async def test_interrupted_rebuild_is_resumed_and_boots_once_more(call: str) -> None:
    scene = Scene()
    await scene.start()
    await scene.stop()
    await scene.idle()
    await _crash_at(scene, call, "op-3", 3, display_name="renamed")
    heard = await scene.start(scene.command("op-3", 3, attempt=2), display_name="renamed")
    assert heard.well().power.power is PowerState.RUNNING
    assert scene.world.boots[UID] == 2
    assert "renamed" in scene.world.definitions[UID]


@pytest.mark.parametrize("again", FIRST)
@pytest.mark.parametrize("first", ["ensure after", "define after", "launch after"])
async def test_a_crash_of_the_resumed_start_changes_nothing(first: str, again: str) -> None:
    scene = Scene()
    await _crash_at(scene, first, "op-1", 1)
    scene.trouble.hold(again)
    following = asyncio.ensure_future(told(await scene.begin_start(scene.command("op-1", 1, attempt=2))))
    reached = asyncio.ensure_future(scene.trouble.reached[again].wait())
    await asyncio.wait([following, reached], return_when=asyncio.FIRST_COMPLETED)
    await scene.crash()
    scene.restart()
    heard = await scene.start(scene.command("op-1", 1, attempt=3))
    assert heard.well().power.power is PowerState.RUNNING
    assert scene.world.boots[UID] == 1


@pytest.mark.parametrize("call", CRASHES)
async def test_cancelling_an_interrupted_start_undoes_it(call: str) -> None:
    scene = Scene()
    await _crash_at(scene, call, "op-1", 1)
    if UID not in scene.world.journals:
        assert not await scene.works.cancel(UID, "op-1"), "it was never heard of"
    else:
        assert await scene.works.cancel(UID, "op-1")
        heard = await scene.start(scene.command("op-1", 1, attempt=2))
        assert isinstance(heard.error, Cancelled)
    await scene.idle()
    assert scene.world.picture(UID) == (None, None, None)


@pytest.mark.parametrize("call", [call for call in CHANGED if not call.startswith("launch")])
async def test_a_newer_command_undoes_what_never_ran(call: str) -> None:
    scene = Scene()
    await scene.start()
    await scene.stop()
    await scene.idle()
    picture = scene.world.picture(UID)
    await _crash_at(scene, call, "op-3", 3, display_name="renamed")
    heard = await scene.stop(scene.command("op-4", 4))
    assert heard.well().outcome is StopOutcome.ALREADY_OFF
    assert scene.world.picture(UID) == picture


@pytest.mark.parametrize("call", CHANGED)
async def test_a_newer_command_lets_go_of_what_was_kept_to_undo_the_older(call: str) -> None:
    scene = Scene()
    await scene.start()
    await scene.stop()
    await _crash_at(scene, call, "op-3", 3, display_name="renamed")
    assert (await scene.stop(scene.command("op-4", 4))).well()
    await scene.idle()
    assert not scene.folders.kept


@pytest.mark.parametrize("call", ["launch", "launch after"])
async def test_a_newer_command_keeps_the_disks_of_a_guest_that_may_have_run(call: str) -> None:
    scene = Scene()
    await _crash_at(scene, call, "op-1", 1)
    heard = await scene.stop(scene.command("op-2", 2))
    assert heard.well().outcome is (StopOutcome.ALREADY_OFF if call == "launch" else StopOutcome.KILLED)
    assert {"disk", "disk.swap"} <= set(scene.world.files[UID]), "somebody may have used it for days"


async def test_a_newer_command_finds_a_guest_that_was_launched_as_it_is() -> None:
    scene = Scene()
    await _crash_at(scene, "launch after", "op-1", 1)
    heard = await scene.stop(scene.command("op-2", 2), mode=StopMode.GRACEFUL)
    assert heard.well().outcome is StopOutcome.GUEST_STOPPED
    assert "disk" in scene.world.files[UID], "somebody may have used it for days"
    assert UID in scene.world.definitions


async def test_a_guest_that_ran_and_ended_while_nobody_looked_is_not_booted_again() -> None:
    scene = Scene()
    await _crash_at(scene, "launch after", "op-1", 1)
    scene.hypervisor.end(UID, "shutdown")
    heard = await scene.start(scene.command("op-1", 1, attempt=2))
    assert heard.reason == "DOMAIN_DIED"
    assert scene.world.boots[UID] == 1


async def test_a_guest_that_the_hosts_boot_took_away_is_booted_again() -> None:
    scene = Scene()
    await _crash_at(scene, "launch after", "op-1", 1)
    scene.hypervisor.end(UID, "crashed")
    scene.world.boot_id = "boot-2"
    heard = await scene.start(scene.command("op-1", 1, attempt=2))
    assert heard.well().power.power is PowerState.RUNNING


async def test_a_launch_that_libvirt_cut_short_is_repeated() -> None:
    """QEMU was started, and its log says so, but the driver died with us before the guest ran an instruction."""
    scene = Scene()
    await _crash_at(scene, "launch after", "op-1", 1)
    scene.hypervisor.end(UID, "daemon")
    scene.world.boots[UID] = 0
    heard = await scene.start(scene.command("op-1", 1, attempt=2))
    assert heard.well().power.power is PowerState.RUNNING
    assert len(scene.consoles.marks) == 1


async def test_a_crash_while_undoing_ends_as_the_error_that_was_undone() -> None:
    scene = Scene()
    scene.trouble.once["launch"] = FailedPrecondition("no", reason="BROKEN")
    scene.trouble.hold("restore")
    await scene.begin_start(scene.command("op-1", 1))
    await scene.trouble.reached["restore"].wait()
    await scene.crash()
    scene.restart()
    heard = await scene.start(scene.command("op-1", 1, attempt=2))
    assert heard.reason == "BROKEN"
    assert scene.world.picture(UID) == (None, None, None)


async def test_the_same_operation_is_joined_and_its_steps_are_told_again() -> None:
    scene = Scene()
    gate = scene.trouble.hold("launch")
    command = scene.command()
    first = asyncio.ensure_future(told(await scene.begin_start(command)))
    await scene.trouble.reached["launch"].wait()
    second = asyncio.ensure_future(told(await scene.begin_start(command)))
    await asyncio.sleep(0.05)
    gate.set()
    one, other = await first, await second
    assert one.result == other.result
    assert one.states() == other.states()
    assert scene.world.boots[UID] == 1


async def test_a_follower_that_goes_away_ends_nothing() -> None:
    scene = Scene()
    gate = scene.trouble.hold("launch")
    command = scene.command()
    following = asyncio.ensure_future(told(await scene.begin_start(command)))
    await scene.trouble.reached["launch"].wait()
    following.cancel()
    gate.set()
    await scene.idle()
    assert scene.world.running[UID] is PowerState.RUNNING
    assert (await scene.start(command)).well().power.power is PowerState.RUNNING
    assert scene.world.boots[UID] == 1


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("fails", [False, True])
async def test_a_finished_operation_is_answered_from_the_journal(fails: bool, restarted: bool) -> None:
    scene = Scene()
    if fails:
        scene.trouble.once["define"] = FailedPrecondition("no", reason="BROKEN")
    command = scene.command()
    before = await scene.start(command)
    await scene.idle()
    if restarted:
        await scene.crash()
        scene.restart()
    after = await scene.start(command)
    assert after.result == before.result
    assert after.states() == before.states()
    if fails:
        assert before.error is not None and after.error is not None
        assert (after.reason, after.error.metadata) == (before.reason, before.error.metadata)


async def test_stale_commands_are_refused_and_change_nothing() -> None:
    scene = Scene()
    await scene.start(scene.command("op-5", 5))
    await scene.idle()
    picture = scene.world.picture(UID)
    for operation, generation in (("op-4", 4), ("op-x", 5), ("op-5", 4)):
        with pytest.raises(Aborted) as refused:
            await scene.begin_stop(scene.command(operation, generation))
        assert refused.value.reason == "STALE_GENERATION"
        assert refused.value.metadata["newest_generation"] == "5"
    assert scene.world.picture(UID) == picture


@pytest.mark.parametrize("call", FIRST)
async def test_a_newer_command_supersedes_a_start_that_hangs(call: str) -> None:
    scene = Scene()
    scene.trouble.hold(call)
    start = asyncio.ensure_future(told(await scene.begin_start(scene.command("op-1", 1))))
    await scene.trouble.reached[call].wait()
    del scene.trouble.gates[call]
    stop = await scene.stop(scene.command("op-2", 2))
    first = await start
    assert isinstance(first.error, Aborted)
    assert (first.reason, first.error.metadata["operation"]) == ("SUPERSEDED", "op-2")
    assert stop.well().outcome is StopOutcome.ALREADY_OFF
    assert scene.world.picture(UID) == (None, None, None)
    with pytest.raises(Aborted):
        await scene.begin_start(scene.command("op-1", 1))


async def test_a_command_that_waits_for_its_turn_can_be_superseded_and_cancelled() -> None:
    scene = Scene()
    gate = scene.trouble.hold("remove")
    scene.trouble.once["launch"] = FailedPrecondition("no", reason="BROKEN")
    first = asyncio.ensure_future(told(await scene.begin_start(scene.command("op-1", 1))))
    await scene.trouble.reached["remove"].wait()
    second = asyncio.ensure_future(told(await scene.begin_stop(scene.command("op-2", 2))))
    third = asyncio.ensure_future(told(await scene.begin_start(scene.command("op-3", 3))))
    heard = await second
    assert (heard.reason, heard.states()) == ("SUPERSEDED", {})
    assert await scene.works.cancel(UID, "op-3")
    assert isinstance((await third).error, Cancelled)
    gate.set()
    assert (await first).reason == "BROKEN"
    await scene.idle()
    assert scene.world.picture(UID) == (None, None, None)
    assert isinstance((await scene.start(scene.command("op-3", 3))).error, Cancelled)


async def test_cancel_says_whether_there_was_something_to_cancel() -> None:
    scene = Scene()
    assert not await scene.works.cancel(UID, "op-1")
    await scene.start(scene.command("op-1", 1))
    await scene.idle()
    assert not await scene.works.cancel(UID, "op-1"), "it has ended"
    assert scene.world.running[UID] is PowerState.RUNNING


async def test_draining_finishes_what_it_can_and_hands_back_the_rest() -> None:
    scene = Scene()
    scene.trouble.hold("ensure")
    following = asyncio.ensure_future(told(await scene.begin_start(scene.command("op-1", 1))))
    await scene.trouble.reached["ensure"].wait()
    await scene.works.drain(0.05)
    heard = await following
    assert isinstance(heard.error, Unavailable) and heard.reason == "DRAINING"
    assert scene.world.journals[UID].phase is Phase.WORKING
    with pytest.raises(Unavailable):
        await scene.begin_start(scene.command("op-2", 2))
    await scene.crash()
    scene.restart()
    assert (await scene.start(scene.command("op-1", 1, attempt=2))).well()
    assert scene.world.boots[UID] == 1


async def test_a_bug_in_a_step_is_internal_and_undone() -> None:
    scene = Scene()
    scene.netblock.devices = lambda spec: None  # type: ignore[assignment, return-value]
    heard = await scene.start()
    assert isinstance(heard.error, Internal)
    assert "trace" in heard.error.message and "NoneType" not in heard.error.message
    assert scene.world.picture(UID) == (None, None, None)


# --- stop ---


async def test_graceful_stop_lets_the_guest_shut_itself_down() -> None:
    scene = Scene()
    await scene.start()
    heard = await scene.stop(mode=StopMode.GRACEFUL)
    assert heard.result.outcome is StopOutcome.GUEST_STOPPED
    assert heard.result.power.power is PowerState.SHUTDOWN
    assert UID in scene.world.definitions and "disk" in scene.world.files[UID]


async def test_graceful_stop_cuts_the_power_when_grace_is_over() -> None:
    scene = Scene()
    await scene.start()
    scene.hypervisor.obeys = False
    heard = await scene.stop(mode=StopMode.GRACEFUL, grace=0.05)
    assert heard.result.outcome is StopOutcome.KILLED
    assert heard.last("shutdown").detail == "did not follow within 0.05 s"
    assert scene.hypervisor.presses == 1


async def test_the_power_button_is_pressed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene()
    await scene.start()
    scene.hypervisor.obeys = False
    monkeypatch.setattr("compute_svc.usecases.stop.PRESS_AGAIN", 0.02)
    progress = await scene.begin_stop(mode=StopMode.GRACEFUL)
    while scene.hypervisor.presses < 3:
        await asyncio.sleep(0.005)
    scene.hypervisor.end(UID, "shutdown")
    assert (await told(progress)).well().outcome is StopOutcome.GUEST_STOPPED


async def test_a_paused_guest_is_not_asked() -> None:
    scene = Scene()
    await scene.start()
    scene.hypervisor.becomes(UID, PowerState.PAUSED, "paused")
    heard = await scene.stop(mode=StopMode.GRACEFUL)
    assert heard.result.outcome is StopOutcome.KILLED
    assert scene.hypervisor.presses == 0


async def test_a_guest_that_is_off_is_already_off() -> None:
    scene = Scene()
    await scene.start()
    await scene.stop()
    assert (await scene.stop()).result.outcome is StopOutcome.ALREADY_OFF
    scene.world.definitions.clear()
    heard = await scene.stop(mode=StopMode.GRACEFUL)
    assert (heard.result.outcome, heard.result.power.power) == (StopOutcome.ALREADY_OFF, PowerState.NO_STATE)


@pytest.mark.parametrize(
    ("mode", "outcome"), [(StopMode.FORCE, StopOutcome.KILLED), (StopMode.GRACEFUL, StopOutcome.GUEST_STOPPED)]
)
async def test_a_stop_that_was_interrupted_tells_what_it_did(mode: StopMode, outcome: StopOutcome) -> None:
    scene = Scene()
    await scene.start()
    await scene.idle()
    call = "destroy after" if mode is StopMode.FORCE else "shutdown"
    scene.trouble.hold(call)
    await scene.begin_stop(scene.command("op-2", 2), mode=mode)
    await scene.trouble.reached[call].wait()
    await scene.crash()
    scene.hypervisor.end(UID, "shutdown")
    scene.restart()
    heard = await scene.stop(scene.command("op-2", 2, attempt=2), mode=mode)
    assert heard.well().outcome is outcome


async def test_a_cancelled_stop_says_what_had_been_done() -> None:
    scene = Scene()
    await scene.start()
    await scene.idle()
    scene.hypervisor.obeys = False
    command = scene.command()
    progress = await scene.begin_stop(command, mode=StopMode.GRACEFUL)
    while not scene.hypervisor.presses:
        await asyncio.sleep(0)
    assert await scene.works.cancel(UID, command.operation)
    heard = await told(progress)
    assert isinstance(heard.error, Cancelled)
    assert heard.error.metadata["step"] == "shutdown"
    assert scene.world.running[UID] is PowerState.RUNNING


# --- reboot ---


async def test_soft_reboot_boots_the_same_definition() -> None:
    scene = Scene()
    await scene.start()
    definition = scene.world.definitions[UID]
    heard = await scene.reboot()
    assert heard.result.performed is RebootMode.SOFT
    assert scene.world.boots[UID] == 2
    assert scene.world.definitions[UID] is definition
    assert "backing" not in heard.states()


async def test_soft_reboot_becomes_hard_when_the_guest_does_not_follow() -> None:
    scene = Scene()
    await scene.start()
    scene.hypervisor.obeys = False
    heard = await scene.reboot(soft_timeout=0.05)
    assert heard.result.performed is RebootMode.HARD
    assert heard.last("destroy").state is StepState.DONE
    assert scene.world.boots[UID] == 2


async def test_soft_reboot_of_a_guest_that_is_off_is_hard() -> None:
    scene = Scene()
    await scene.start()
    await scene.stop()
    assert (await scene.reboot()).result.performed is RebootMode.HARD


async def test_hard_reboot_rebuilds_everything() -> None:
    scene = Scene()
    await scene.start()
    heard = await scene.reboot(mode=RebootMode.HARD)
    assert heard.result.performed is RebootMode.HARD
    assert heard.last("define").state is heard.last("undefine").state is StepState.DONE
    assert scene.hypervisor.presses == 0


@pytest.mark.parametrize("mode", RebootMode)
@pytest.mark.parametrize("call", ["shutdown", "destroy", "destroy after", "undefine after", "launch", "launch after"])
async def test_an_interrupted_reboot_is_resumed_and_boots_once(mode: RebootMode, call: str) -> None:
    scene = Scene()
    await scene.start()
    await scene.idle()
    scene.trouble.hold(call)
    following = asyncio.ensure_future(told(await scene.begin_reboot(scene.command("op-2", 2), mode=mode)))
    reached = asyncio.ensure_future(scene.trouble.reached[call].wait())
    await asyncio.wait([following, reached], return_when=asyncio.FIRST_COMPLETED)
    await scene.crash()
    scene.restart()
    heard = await scene.reboot(scene.command("op-2", 2, attempt=2), mode=mode)
    assert heard.well().performed is mode
    assert scene.world.boots[UID] == 2
    assert scene.world.running[UID] is PowerState.RUNNING


# --- delete ---


async def test_delete_leaves_nothing_but_a_tombstone() -> None:
    scene = Scene()
    await scene.start()
    heard = await scene.delete()
    assert heard.well()
    assert scene.world.picture(UID) == (None, None, None)
    await scene.idle()
    assert scene.world.journals[UID].deleted
    with pytest.raises(Aborted):
        await scene.begin_start(scene.command("late", 1))


async def test_delete_of_what_is_not_there_succeeds() -> None:
    scene = Scene()
    heard = await scene.delete()
    assert heard.well()
    assert set(heard.states().values()) == {StepState.DONE, StepState.SKIPPED}


@pytest.mark.parametrize("call", ["look", "destroy", "destroy after", "undefine after", "remove", "remove folder"])
async def test_an_interrupted_delete_is_finished(call: str) -> None:
    scene = Scene()
    await scene.start()
    await scene.idle()
    scene.trouble.hold(call)
    await scene.begin_delete(scene.command("op-2", 2))
    await scene.trouble.reached[call].wait()
    await scene.crash()
    scene.restart()
    assert (await scene.delete(scene.command("op-2", 2, attempt=2))).well()
    assert scene.world.picture(UID) == (None, None, None)


async def test_delete_waits_for_image_svc() -> None:
    scene = Scene()
    await scene.start()
    scene.trouble.once["remove"] = away("IMAGE_UNAVAILABLE")
    heard = await scene.delete()
    assert heard.well()
    assert "waiting for image_svc" in [step.detail for step in heard.steps] or heard.last("disks").detail


async def test_a_console_is_what_the_guest_wrote() -> None:
    from compute_svc.usecases import console

    scene = Scene()
    with pytest.raises(NotFound) as missing:
        await console.output(scene.host, UID, 100)
    assert missing.value.reason == "CONSOLE_NOT_FOUND"
    await scene.start()
    assert await console.output(scene.host, UID, 4) == (b"t 1\n", True)
    assert await console.output(scene.host, UID, 0) == (b"boot 1\n", False)
