"""libvirtd itself dies or hangs: guests live on, operations wait for it, and no guest boots twice."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest
from google.longrunning.operations_pb2 import GetOperationRequest
from protostar.api.v1 import instance_pb2 as ip

from tests.chaos import tiny_guest
from tests.chaos.arena import Arena
from tests.chaos.hypervisors import System, virsh
from tests.chaos.invariants import settle
from tests.chaos.patience import patiently
from tests.chaos.points import Verb
from tests.chaos.wave import Field, field_of, fresh
from tests.client import steps

POINTS = {
    Verb.CREATE: ["start.define.inside", "start.launch.before", "start.launch.inside", "start.running.before"],
    Verb.STOP: ["stop.destroy.before", "stop.destroy.inside", "stop.destroy.after"],
    Verb.START: ["start.undefine.inside", "start.define.inside", "start.launch.before", "start.launch.inside"],
    Verb.REBOOT: ["reboot.destroy.inside", "reboot.define.inside", "reboot.launch.after"],
    Verb.DELETE: ["delete.destroy.before", "delete.undefine.inside", "delete.disks.before"],
}
# libvirtd takes half a minute to come back to itself: `make test` has time for one of these.
CASES = [pytest.param(verb, marks=() if verb is Verb.START else pytest.mark.full) for verb in POINTS]


class Daemon:
    """libvirtd, ours alone."""

    def __init__(self) -> None:
        self._log = subprocess.Popen(["/usr/sbin/virtlogd"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.start()

    def start(self) -> None:
        """Until it answers."""
        self.process = subprocess.Popen(["/usr/sbin/libvirtd"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while not answers():
            assert time.monotonic() < deadline, "libvirtd does not answer"
            time.sleep(0.05)

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.wait(30)

    def close(self) -> None:
        """Both, gently."""
        for process in (self.process, self._log):
            process.terminate()
            process.wait(30)


def answers() -> bool:
    """Whether there is a libvirtd."""
    return bool(virsh("uri"))


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    if answers():
        # Somebody's own, on a machine that is used: not ours to kill. CI's machines have none, and skip nothing.
        (pytest.fail if os.environ.get("CI") else pytest.skip)("these tests kill libvirtd, and there is one already")
    running = Daemon()
    yield running
    running.close()


@pytest.fixture(scope="module")
def system(daemon: Daemon, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Field]:
    arena = Arena(libvirt_uri="qemu:///system")
    image = tiny_guest.make(tmp_path_factory.mktemp("image") / "tiny.qcow2")
    arena.folder.chmod(0o711)  # QEMU runs as another user and must reach its disks
    with field_of(arena, image) as field:
        field.seconds = 240  # a libvirtd that has just started asks every emulator what it can, and that takes its time
        field.uids += (made := fresh(1))
        field.all_at_once(Verb.CREATE, made)
        yield field
        assert isinstance(field.scene.hypervisor, System)
        field.scene.hypervisor.remove_all()


@pytest.mark.timeout(400)
@pytest.mark.parametrize("verb", CASES)
def test_everything_ends_well_after_libvirtd_was_killed(system: Field, daemon: Daemon, verb: Verb) -> None:
    points = [f"compute.{point}" for point in POINTS[verb]]
    pinned = system.disturbed(verb, points, daemon.kill, daemon.start)
    for each in pinned if verb in (Verb.CREATE, Verb.START, Verb.REBOOT) else ():
        console = (system.arena.data / "instances" / each.uid / "console.log").read_bytes()
        assert tiny_guest.doubled(console) == 0, each.point


@pytest.mark.full
@pytest.mark.timeout(400)
def test_a_libvirtd_that_hangs_holds_up_nothing_but_its_own_guests(system: Field, daemon: Daemon) -> None:
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
