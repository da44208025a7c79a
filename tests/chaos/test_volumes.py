"""Death in the middle of making, removing and attaching a volume: no row without a file, no file without a row."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import grpc
import pytest
from protostar.api.v1 import volume_pb2 as vp

from tests.chaos.invariants import settle
from tests.chaos.patience import patiently
from tests.chaos.points import Verb
from tests.chaos.wave import Field

CREATING = ("announced", "before_rename", "made")
DELETING = ("condemned", "removed")


@pytest.mark.parametrize("place", CREATING)
def test_a_volume_that_was_being_made_is_whole_or_gone(ground: Field, place: str) -> None:
    _kill_at(ground, f"netblock.volume.create.{place}", lambda: _create(ground))
    _assert_whole(ground)
    volume = patiently(lambda: _create(ground))
    assert patiently(lambda: _get(ground, volume.name)).name == volume.name


@pytest.mark.parametrize("place", DELETING)
def test_a_volume_that_was_being_removed_can_be_removed(ground: Field, place: str) -> None:
    volume = patiently(lambda: _create(ground))
    request = vp.DeleteVolumeRequest(name=volume.name)
    _kill_at(ground, f"netblock.volume.delete.{place}", lambda: ground.client.volumes.DeleteVolume(request, timeout=20))
    _assert_whole(ground)
    with contextlib.suppress(grpc.RpcError):
        ground.client.volumes.DeleteVolume(request, timeout=20)
    with pytest.raises(grpc.RpcError) as refused:
        _get(ground, volume.name)
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND
    assert not list((ground.arena.data / "volumes").glob(f"{volume.uid}*"))


def _kill_at(ground: Field, point: str, call: Callable[[], object], who: str = "netblock_svc") -> None:
    ground.arena.arm(point)
    answer = ground.hands.submit(call)
    ground.arena.wait_until_held(point, answer)
    ground.arena.fell([who])
    ground.arena.release()
    with pytest.raises(grpc.RpcError) as told:
        answer.result(60)
    assert told.value.code() is grpc.StatusCode.UNAVAILABLE
    ground.arena.revive([who])


def _assert_whole(ground: Field) -> None:
    settle(ground.scene)
    answer = patiently(lambda: ground.client.volumes.ListVolumes(vp.ListVolumesRequest(), timeout=20))
    for volume in answer.volumes:
        assert list((ground.arena.data / "volumes").glob(f"{volume.uid}*")), volume


def _create(ground: Field) -> vp.Volume:
    wanted = vp.CreateVolumeRequest(volume=vp.Volume(display_name="data", size_gib=1))
    return ground.client.volumes.CreateVolume(wanted, timeout=20)


def _get(ground: Field, name: str) -> vp.Volume:
    return ground.client.volumes.GetVolume(vp.GetVolumeRequest(name=name), timeout=20)


def test_an_attach_and_a_detach_that_were_cut_short_can_be_repeated(ground: Field) -> None:
    (uid,) = ground.resting(Verb.START, 1)
    volume = _create(ground)
    attach = vp.AttachVolumeRequest(name=volume.name, instance=f"instances/{uid}")
    detach = vp.DetachVolumeRequest(name=volume.name)
    stub = ground.client.volumes
    _kill_at(ground, "api.attachment.before_commit", lambda: stub.AttachVolume(attach, timeout=20), "api_svc")
    patiently(lambda: stub.AttachVolume(attach, timeout=20))
    assert [each.volume for each in ground.get(uid).volumes] == [volume.name]
    assert _get(ground, volume.name).attachment.instance == f"instances/{uid}"
    _kill_at(ground, "api.attachment.before_commit", lambda: stub.DetachVolume(detach, timeout=20), "api_svc")
    patiently(lambda: stub.DetachVolume(detach, timeout=20))
    assert not ground.get(uid).volumes
    assert not _get(ground, volume.name).HasField("attachment")
    settle(ground.scene)
