"""Services die while an image is brought in, while a base is made of it, and while it is removed."""

from __future__ import annotations

import contextlib
import shutil
import uuid
from pathlib import Path

import grpc
import pytest
from google.longrunning import operations_pb2
from protostar.api.v1 import image_pb2

from tests.chaos.arena import ALL
from tests.chaos.invariants import settle
from tests.chaos.patience import ask, ended, patiently
from tests.chaos.points import Verb
from tests.chaos.wave import Field, Pinned, fresh

IMPORTING = [f"image.import_image.{place}" for place in ("fetch", "inspect", "before_publish", "before_commit")]
BASE = ("image.ensure_disks.base.inside", "image.ensure_disks.base.before_publish")


@pytest.mark.parametrize("victims", [("image_svc",), ("api_svc",), ALL], ids=["image", "api", "all"])
def test_an_import_ends_well_after_a_kill(
    ground: Field, empty_image: Path, tmp_path: Path, victims: tuple[str, ...]
) -> None:
    pinned = []
    for number, point in enumerate(IMPORTING[: 2 if "image_svc" not in victims else None]):
        source = shutil.copy(empty_image, tmp_path / f"{number}.qcow2")
        ground.arena.arm(point)
        accepted = ground.hands.submit(_import, ground, Path(source))
        ground.arena.wait_until_held(point, accepted)
        pinned.append(Pinned(point, "", accepted))
    ground.arena.fell(victims)
    ground.arena.release()
    ground.arena.revive(victims)
    ground.assert_ended_well(pinned)
    settle(ground.scene)


@pytest.mark.parametrize("point", BASE)
def test_a_base_that_was_being_made_is_made_again(ground: Field, empty_image: Path, point: str) -> None:
    imported = ended(ground.client, _import(ground, empty_image))
    image = image_pb2.Image()
    imported.response.Unpack(image)
    ground.arena.arm(point)
    (uid,) = fresh(1)
    accepted = ground.hands.submit(ask, ground.client, Verb.CREATE, uid, image.name)
    ground.arena.wait_until_held(point, accepted)
    ground.arena.fell(["image_svc"])
    ground.arena.release()
    ground.arena.revive(["image_svc"])
    ground.assert_ended_well([Pinned(point, uid, accepted)])
    settle(ground.scene)


def test_an_image_that_was_being_removed_is_gone_for_good(ground: Field, empty_image: Path) -> None:
    image = image_pb2.Image()
    ended(ground.client, _import(ground, empty_image)).response.Unpack(image)
    request = image_pb2.DeleteImageRequest(name=image.name)
    ground.arena.arm("image.delete_image.before_file")
    answer = ground.hands.submit(ground.client.images.DeleteImage, request, timeout=20)
    ground.arena.wait_until_held("image.delete_image.before_file", answer)
    ground.arena.fell(["image_svc"])
    ground.arena.release()
    ground.arena.revive(["image_svc"])
    assert isinstance(answer.exception(60), grpc.RpcError)
    with contextlib.suppress(grpc.RpcError):
        ground.client.images.DeleteImage(request, timeout=20)
    settle(ground.scene)
    listed = patiently(lambda: ground.client.images.ListImages(image_pb2.ListImagesRequest(), timeout=20)).images
    assert image.name not in {each.name for each in listed}


def _import(ground: Field, source: Path) -> operations_pb2.Operation:
    request = image_pb2.ImportImageRequest(
        image=image_pb2.Image(display_name="chaos"), source=str(source), request_id=str(uuid.uuid4())
    )
    return patiently(lambda: ground.client.images.ImportImage(request, timeout=20))
