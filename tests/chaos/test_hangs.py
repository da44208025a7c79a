"""Parts that do not die but hang, a disk that is full, a database that goes away: nothing is guessed, all ends."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.longrunning import operations_pb2
from protostar.api.v1 import instance_pb2 as ip

from tests.chaos.arena import Arena
from tests.chaos.invariants import settle, violations
from tests.chaos.patience import ask, ended, patiently, told
from tests.chaos.points import Verb
from tests.chaos.wave import Field, field_of, field_on, fresh
from tests.client import metadata
from tests.postgres import Cluster

_UNKNOWN_AFTER = 18.0
_HEARD = 90.0


@pytest.fixture(scope="module")
def hanging(empty_image: Path) -> Iterator[Field]:
    """Services that notice that a host is silent as soon as its heartbeats allow."""
    with field_of(Arena(settings={"PROTOSTAR_POWER_STALE_SECONDS": str(_UNKNOWN_AFTER)}), empty_image) as field:
        yield field


@pytest.mark.timeout(240)
def test_a_hung_host_makes_power_unknown_and_operations_wait_for_it(hanging: Field) -> None:
    up, down = hanging.resting(Verb.REBOOT, 2)
    hanging.bring([down], ip.VM_STATE_STOPPED)
    hanging.arena.freeze("compute_svc")
    seen = set()
    try:
        starting = ask(hanging.client, Verb.START, down, seconds=150)
        _until(lambda: _look(hanging, up, seen) == ip.POWER_STATE_UNKNOWN)
        _until(lambda: metadata(_operation(hanging, starting)).waiting_for == "HOST")
        _look(hanging, up, seen)
    finally:
        hanging.arena.thaw("compute_svc")
    assert seen == {ip.POWER_STATE_RUNNING, ip.POWER_STATE_UNKNOWN}, "unknown is not off"
    done = ended(hanging.client, starting)
    assert not done.HasField("error"), told(done)
    settle(hanging.scene)
    assert hanging.get(up).vm_state == ip.VM_STATE_ACTIVE


@pytest.mark.timeout(120)
def test_a_deadline_passes_while_the_host_hangs(hanging: Field) -> None:
    (uid,) = hanging.resting(Verb.START, 1)
    hanging.arena.freeze("compute_svc")
    try:
        done = ended(hanging.client, ask(hanging.client, Verb.START, uid, seconds=5), 15)
        assert done.error.code == 4, told(done)
        assert patiently(lambda: hanging.get(uid)).power_state == ip.POWER_STATE_UNKNOWN
    finally:
        hanging.arena.thaw("compute_svc")
    settle(hanging.scene)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("who", ["image_svc", "netblock_svc"])
def test_a_hung_peer_is_named_and_the_operation_ends(hanging: Field, who: str) -> None:
    (uid,) = hanging.resting(Verb.START, 1)
    hanging.arena.freeze(who)
    try:
        done = ended(hanging.client, ask(hanging.client, Verb.START, uid, seconds=8), 20)
        assert done.HasField("error"), told(done)
        assert metadata(done).state == 4, told(done)
        assert hanging.get(uid).vm_state == ip.VM_STATE_STOPPED
    finally:
        hanging.arena.thaw(who)
    settle(hanging.scene)
    hanging.all_at_once(Verb.START, [uid])


@pytest.mark.timeout(120)
def test_a_full_disk_fails_the_create_and_leaves_nothing(empty_image: Path) -> None:
    arena = Arena()
    with _small_disk(arena.data / "instances", 4), field_of(arena, empty_image) as field:
        field.all_at_once(Verb.CREATE, fresh(1))
        _fill(arena.data / "instances/locks")
        (uid,) = fresh(1)
        done = ended(field.client, ask(field.client, Verb.CREATE, uid, field.image))
        assert done.error.code == 8 and b"NO_SPACE" in b"".join(each.value for each in done.error.details), told(done)
        assert not (arena.data / "instances" / uid).exists()
        (arena.data / "instances/locks/ballast").unlink()
        settle(field.scene)
        patiently(lambda: ended(field.client, ask(field.client, Verb.DELETE, uid)))
        field.all_at_once(Verb.CREATE, fresh(1))
        settle(field.scene)


@pytest.mark.timeout(180)
def test_the_databases_go_away_and_come_back(empty_image: Path) -> None:
    with Cluster(crashes=True) as cluster, field_on(cluster, empty_image) as field:
        points = ["compute.start.launch.before", "compute.start.network_info.before", "api.dispatch.after_call"]
        pinned = field.pin(Verb.CREATE, points)
        cluster.stop()
        field.arena.release()
        late = field.hands.submit(ask, field.client, Verb.CREATE, *fresh(1), field.image)
        time.sleep(3)
        cluster.start()
        field.assert_ended_well(pinned)
        assert not ended(field.client, late.result(60)).HasField("error")
        settle(field.scene)
        assert not violations(field.scene)


def _look(field: Field, uid: str, seen: set[int]) -> int:
    """The power_state, remembered."""
    power: int = patiently(lambda: field.get(uid)).power_state
    seen.add(power)
    return power


def _operation(field: Field, operation: operations_pb2.Operation) -> operations_pb2.Operation:
    return field.client.operations.GetOperation(operations_pb2.GetOperationRequest(name=operation.name))


def _until(condition: object) -> None:
    deadline = time.monotonic() + _HEARD
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.2)


@contextlib.contextmanager
def _small_disk(path: Path, mebibytes: int) -> Iterator[None]:
    path.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m,mode=0711", "none", path], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", path], check=True)


def _fill(folder: Path) -> None:
    """To the last byte."""
    with (folder / "ballast").open("wb") as file, contextlib.suppress(OSError):
        while os.write(file.fileno(), bytes(4096)):
            pass
