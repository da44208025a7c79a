"""Real QEMU: a guest says on its console that it was booted, and says it once for each operation, whatever dies."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos import tiny_guest
from tests.chaos.arena import ALL, Arena
from tests.chaos.hypervisors import introduce_stranger
from tests.chaos.invariants import settle
from tests.chaos.points import Verb
from tests.chaos.wave import Field, Pinned, field_of

API = ["api.dispatch.after_call", "api.finish.before_commit"]
POINTS = {
    Verb.CREATE: ["define.inside", "launch.before", "launch.inside", "launch.after", "running.after"],
    Verb.STOP: ["destroy.before", "destroy.inside", "destroy.after"],
    Verb.START: ["undefine.inside", "define.inside", "launch.before", "launch.inside", "running.before"],
    Verb.REBOOT: ["destroy.inside", "undefine.inside", "launch.inside", "launch.after", "running.after"],
    Verb.DELETE: ["destroy.inside", "undefine.inside", "disks.inside", "instance_dir.inside"],
}
WORK = {Verb.CREATE: "start"}
VICTIMS = {"compute": ("compute_svc",), "all": ALL}
_SHORT = {("compute", Verb.CREATE), ("compute", Verb.START), ("compute", Verb.REBOOT), ("all", Verb.START)}
CASES = [
    pytest.param(who, verb, id=f"{who}-{verb}", marks=() if (who, verb) in _SHORT else pytest.mark.full)
    for who in VICTIMS
    for verb in POINTS
]
# From the moment that the launch begins; libvirt's create takes half a second, and most of it is starting QEMU.
DELAYS = (0.0, 0.05, 0.12, 0.2, 0.3, 0.45, 0.6)


@pytest.fixture(scope="module")
def guests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Field]:
    arena = Arena(libvirt_uri="qemu:///embed?root=ROOT")
    introduce_stranger(arena)
    with field_of(arena, tiny_guest.make(tmp_path_factory.mktemp("image") / "tiny.qcow2")) as field:
        yield field


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("who", "verb"), CASES)
def test_a_guest_boots_once_for_each_operation(guests: Field, who: str, verb: Verb) -> None:
    points = [f"compute.{WORK.get(verb, verb)}.{place}" for place in POINTS[verb]] + API
    pinned = guests.wave(verb, points, VICTIMS[who])
    if verb in (Verb.CREATE, Verb.START, Verb.REBOOT):
        _assert_booted_once(guests, pinned)


@pytest.mark.timeout(120)
@pytest.mark.full  # the moment is a matter of milliseconds: what it finds is for the long run to find
@pytest.mark.parametrize("delay", DELAYS)
def test_a_kill_inside_of_libvirts_create(guests: Field, delay: float) -> None:
    """Between the points: QEMU is being born, and libvirt dies with compute_svc."""
    pinned = guests.pin(Verb.START, ["compute.start.launch.before"])
    guests.arena.release()
    time.sleep(delay)
    guests.arena.fell(["compute_svc"])
    guests.arena.revive(["compute_svc"])
    guests.assert_ended_well(pinned)
    settle(guests.scene)
    _assert_booted_once(guests, pinned)


@pytest.mark.timeout(120)
def test_guests_outlive_every_service(guests: Field) -> None:
    uids = guests.resting(Verb.REBOOT, 2)
    before = guests.scene.hypervisor.running()
    assert before.issuperset(uids)
    guests.arena.fell(ALL)
    assert guests.scene.hypervisor.running() == before
    guests.arena.revive(ALL)
    settle(guests.scene)
    assert guests.scene.hypervisor.running() == before


def _assert_booted_once(guests: Field, pinned: list[Pinned]) -> None:
    """Waits for the guest's word, and then a little for a second one."""
    deadline = time.monotonic() + 30
    counted: dict[str, int] = {}
    while 0 in (counted := _counted(guests, pinned)).values() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert set(counted.values()) == {1}, counted


def _counted(guests: Field, pinned: list[Pinned]) -> dict[str, int]:
    return {each.point: _boots(guests.arena.data, each) for each in pinned}


def _boots(data: Path, each: Pinned) -> int:
    console = data / "instances" / each.uid / "console.log"
    operation = each.accepted.result(0).name.removeprefix("operations/")
    return tiny_guest.boots(console.read_bytes()).get(operation, 0)
