"""libvirtd itself dies or hangs: guests live on, operations wait for it, and no guest boots twice."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import pytest
from google.longrunning.operations_pb2 import GetOperationRequest
from protostar.api.v1 import instance_pb2 as ip

from tests.chaos import points, tiny_guest
from tests.chaos.arena import Arena
from tests.chaos.hypervisors import System
from tests.chaos.invariants import settle
from tests.chaos.patience import patiently
from tests.chaos.points import Verb
from tests.chaos.wave import Field, field_of, fresh
from tests.client import steps
from tests.libvirtd import Libvirtd, answers

_SHORT = {Verb.CREATE, Verb.STOP, Verb.DELETE}
CASES = [
    pytest.param(verb, marks=() if verb in _SHORT else pytest.mark.full)
    for verb in (Verb.CREATE, Verb.START, Verb.STOP, Verb.REBOOT, Verb.DELETE)
]


@pytest.fixture(scope="module")
def daemon() -> Iterator[Libvirtd]:
    if answers():
        # Somebody's own, on a machine that is used: not ours to kill. CI's machines have none, and skip nothing.
        (pytest.fail if os.environ.get("CI") else pytest.skip)("these tests kill libvirtd, and there is one already")
    with Libvirtd() as running:
        yield running


@pytest.fixture(scope="module")
def system(daemon: Libvirtd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Field]:
    arena = Arena(libvirt_uri="qemu:///system", settings={"PROTOSTAR_CPU_OVERCOMMIT": "100"})
    image = tiny_guest.make(tmp_path_factory.mktemp("image") / "tiny.qcow2")
    arena.folder.chmod(0o711)  # QEMU runs as another user and must reach its disks
    with field_of(arena, image) as field:
        field.seconds = 240  # dozens of QEMUs are started anew by libvirt at once
        field.uids += (made := fresh(1))
        field.all_at_once(Verb.CREATE, made)
        yield field
    System(arena).remove_all()  # nobody is left who could start one


@pytest.mark.timeout(400)
@pytest.mark.parametrize("verb", CASES)
def test_everything_ends_well_after_libvirtd_was_killed(system: Field, daemon: Libvirtd, verb: Verb) -> None:
    at_work = [point for point in points.passed(verb) if point.startswith("compute.")]
    pinned = system.disturbed(verb, at_work, daemon.kill, daemon.start)
    for each in pinned if verb in (Verb.CREATE, Verb.START, Verb.REBOOT) else ():
        console = (system.arena.data / "instances" / each.uid / "console.log").read_bytes()
        assert tiny_guest.doubled(console) == 0, each.point


@pytest.mark.timeout(400)
def test_a_libvirtd_that_hangs_holds_up_nothing_but_its_own_guests(system: Field, daemon: Libvirtd) -> None:
    (uid,) = system.resting(Verb.START, 1)
    (pinned,) = system.pin(Verb.START, ["compute.start.launch.before"])
    daemon.process.send_signal(signal.SIGSTOP)
    try:
        system.arena.release()
        operation = GetOperationRequest(name=pinned.accepted.result(0).name)
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            now = patiently(lambda: system.client.operations.GetOperation(operation, timeout=2))
            assert not now.done and "running" not in steps(now)
            assert system.client.get(f"instances/{uid}").vm_state == ip.VM_STATE_STOPPED
    finally:
        daemon.process.send_signal(signal.SIGCONT)
    system.assert_ended_well([pinned])
    settle(system.scene)
