"""The host boots: no guest and no service survives it. Then guests run again by policy, with all that they need."""

from __future__ import annotations

import os
import signal
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from google.longrunning import operations_pb2
from google.protobuf.field_mask_pb2 import FieldMask
from protostar.api.v1 import instance_pb2 as ip
from protostar.api.v1 import instance_service_pb2 as svc

from tests.chaos import tiny_guest
from tests.chaos.arena import ALL, Arena
from tests.chaos.hypervisors import Embedded, introduce_stranger
from tests.chaos.invariants import settle
from tests.chaos.patience import ended, patiently, told
from tests.chaos.points import Verb
from tests.chaos.wave import Field, field_of
from tests.client import metadata

_BOOT_ID = "/proc/sys/kernel/random/boot_id"
_SECONDS = 60


@dataclass
class Machine(Arena):
    """Services that see a boot_id of their own, in a mount namespace; everything else is the machine's."""

    def boot(self) -> None:
        """From now on it is another boot of the host."""
        self._boot_id.write_text(f"{uuid.uuid4()}\n")

    def command(self, name: str) -> list[str]:
        if not self._boot_id.exists():
            self.boot()
        script = f'mount --bind "$1" {_BOOT_ID} && exec "$2" -m "$3"'
        return ["unshare", "--mount", "sh", "-c", script, "sh", str(self._boot_id), sys.executable, name]

    @property
    def _boot_id(self) -> Path:
        return self.folder / "boot_id"


@pytest.fixture
def booted(tmp_path: Path) -> Iterator[Field]:
    arena = Machine(libvirt_uri="qemu:///embed?root=ROOT")
    introduce_stranger(arena)
    with field_of(arena, tiny_guest.make(tmp_path / "tiny.qcow2")) as field:
        yield field


@pytest.mark.timeout(240)
def test_guests_run_again_by_policy(booted: Field) -> None:
    resumed, left_off, stopped = booted.resting(Verb.REBOOT, 3)
    _leave_off(booted, left_off)
    booted.bring([stopped], ip.VM_STATE_STOPPED)
    _pull_the_plug(booted)
    for backing in (booted.arena.data / "instances/_base").iterdir():
        backing.unlink()  # what is missing is made again from the catalogue
    booted.arena.revive(ALL)

    _until(booted, left_off, ip.VM_STATE_STOPPED)
    operation = _resumption(booted, resumed)
    done = ended(booted.client, operation)
    assert not done.HasField("error"), told(done)
    assert metadata(done).actor == "system"
    assert _booted(booted, resumed, operation) == 1
    settle(booted.scene)
    assert booted.scene.hypervisor.running() == {resumed}
    assert booted.get(stopped).vm_state == ip.VM_STATE_STOPPED


def _leave_off(field: Field, uid: str) -> None:
    policy = ip.InstancePolicy(on_host_boot=ip.HOST_BOOT_POLICY_STAY_OFF)
    wanted = ip.Instance(name=f"instances/{uid}", policy=policy)
    field.client.instances.UpdateInstance(
        svc.UpdateInstanceRequest(
            instance=wanted, update_mask=FieldMask(paths=["policy"]), request_id=str(uuid.uuid4())
        )
    )


def _pull_the_plug(field: Field) -> None:
    assert isinstance(field.arena, Machine) and isinstance(field.scene.hypervisor, Embedded)
    field.arena.fell(ALL)
    for pids in field.scene.hypervisor.processes().values():
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
    field.arena.boot()


def _until(field: Field, uid: str, state: int) -> None:
    deadline = time.monotonic() + _SECONDS
    while (now := patiently(lambda: field.get(uid))).vm_state != state:
        assert time.monotonic() < deadline, now
        time.sleep(0.1)


def _resumption(field: Field, uid: str) -> operations_pb2.Operation:
    """The start that Protostar itself has begun."""
    request = operations_pb2.ListOperationsRequest(filter=f'target = "instances/{uid}" AND verb = "START"')
    deadline = time.monotonic() + _SECONDS
    while not (found := patiently(lambda: field.client.operations.ListOperations(request)).operations):
        assert time.monotonic() < deadline, field.get(uid)
        time.sleep(0.1)
    (operation,) = found
    return operation


def _booted(field: Field, uid: str, operation: operations_pb2.Operation) -> int:
    """How often it booted the guest, by the guest's own word."""
    name, console = operation.name.removeprefix("operations/"), field.arena.data / "instances" / uid / "console.log"
    deadline = time.monotonic() + 30
    while not (boots := tiny_guest.boots(console.read_bytes()).get(name, 0)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return boots
