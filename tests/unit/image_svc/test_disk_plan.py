"""What has to be done about each disk, and which disks are not touched."""

from __future__ import annotations

from dataclasses import replace

import pytest

from image_svc.domain.base_names import base_name, ephemeral_template, swap_template
from image_svc.domain.disks import DiskRole, DiskType, FoundDisk, InstanceDisks, WantedDisk
from image_svc.domain.plan import Verdict, judge, judge_all, missing_backings
from image_svc.domain.qcow2 import parse
from svckit.errors import FailedPrecondition
from tests.fakes.image_svc import qcow2_header

GIB, MIB = 1024**3, 1024**2
BASES = "/i/_base"
IMAGE = "155d900f-4e14-4e4c-a73d-069cbf4541e6"
UID = "3b2ff1a4-64f1-4b41-8a52-7d4fd1d6a2d0"
ROOT = WantedDisk(name="disk", role=DiskRole.ROOT, size_bytes=10 * GIB)
LOCAL = WantedDisk(name="disk.local", role=DiskRole.EPHEMERAL, size_bytes=20 * GIB)
SWAP = WantedDisk(name="disk.swap", role=DiskRole.SWAP, size_bytes=512 * MIB)
CONFIG = WantedDisk(name="disk.config", role=DiskRole.CONFIG)
WANTED = InstanceDisks(uid=UID, image=IMAGE, disks=[ROOT, LOCAL, SWAP, CONFIG], os_type="linux")
BASE = f"{BASES}/{base_name(IMAGE)}"


def found(size: int, backing: str, pinned: DiskType | None = DiskType.QCOW2, **header: object) -> FoundDisk:
    return FoundDisk(
        path="/i/x/disk",
        file_bytes=200_000,
        allocated_bytes=200_704,
        pinned=pinned,
        header=parse(qcow2_header(size, backing, **header)),
        has_backing=True,
    )


def verdict(disk: WantedDisk, seen: FoundDisk | None) -> Verdict:
    return judge(disk, seen, WANTED, BASES)


def test_nothing_there_makes_everything_but_the_config_drive() -> None:
    verdicts = judge_all(WANTED, {}, BASES)
    assert [(v.disk.name, v.is_missing) for v in verdicts] == [
        ("disk", True),
        ("disk.local", True),
        ("disk.swap", True),
    ]
    assert missing_backings(verdicts) == (True, [ephemeral_template(20, "ext4"), swap_template(512)])


def test_a_sound_disk_needs_nothing() -> None:
    assert verdict(ROOT, found(10 * GIB, BASE)).is_sound
    assert verdict(LOCAL, found(20 * GIB, f"{BASES}/ephemeral_20_40d1d2c")).is_sound
    assert verdict(SWAP, found(512 * MIB, f"{BASES}/swap_512")).is_sound


def test_a_smaller_disk_is_grown() -> None:
    seen = verdict(ROOT, found(8 * GIB, BASE))
    assert (seen.is_sound, seen.grow_to) == (False, 10 * GIB)


@pytest.mark.parametrize("wanted_size", [0, 5 * GIB])
def test_a_larger_disk_is_never_shrunk(wanted_size: int) -> None:
    assert verdict(replace(ROOT, size_bytes=wanted_size), found(10 * GIB, BASE)).is_sound


def test_a_base_that_is_gone_is_made_again() -> None:
    seen = verdict(ROOT, replace(found(10 * GIB, BASE), has_backing=False))
    assert (seen.is_missing, seen.backing_is_missing) == (False, True)
    assert missing_backings([seen]) == (True, [])


def test_a_template_that_is_gone_is_made_again_as_the_overlay_names_it() -> None:
    """Not as the flavor says now: the overlay's blocks belong to the template that it names."""
    seen = verdict(LOCAL, replace(found(20 * GIB, f"{BASES}/ephemeral_10_0706d66"), has_backing=False))
    assert missing_backings([seen]) == (False, [ephemeral_template(10, "vfat")])


def test_a_raw_disk_is_left_alone_whatever_is_in_it() -> None:
    assert verdict(ROOT, found(1, "/etc/shadow", DiskType.RAW)).is_sound


def test_a_root_disk_without_a_pin_is_not_guessed() -> None:
    assert verdict(ROOT, found(10 * GIB, BASE, None)).pin_is_lost


@pytest.mark.parametrize(
    ("disk", "seen", "words"),
    [
        (ROOT, found(10 * GIB, f"{BASES}/{'0' * 40}"), "is backed by"),
        (ROOT, found(10 * GIB, ""), "backing format"),
        (ROOT, found(10 * GIB, "/etc/shadow"), "is backed by"),
        (ROOT, found(10 * GIB, BASE, backing_format="qcow2"), "backing format"),
        (ROOT, found(10 * GIB, BASE, backing_format=""), "backing format"),
        (ROOT, found(10 * GIB, BASE, features=2), "corrupt"),
        (ROOT, found(10 * GIB, BASE, features=4), "features"),
        (ROOT, found(10 * GIB, BASE, encryption=1), "features"),
        (ROOT, found(10 * GIB, BASE, features=1 << 40), "features"),
        (ROOT, replace(found(10 * GIB, BASE), header=None), "no readable qcow2 header"),
        (LOCAL, found(20 * GIB, f"{BASES}/swap_512"), "is backed by"),
        (LOCAL, found(20 * GIB, "/elsewhere/ephemeral_20_40d1d2c"), "is backed by"),
        (LOCAL, found(20 * GIB, f"{BASES}/ephemeral_20_0000000"), "is backed by"),
        (SWAP, found(512 * MIB, f"{BASES}/ephemeral_20_40d1d2c"), "is backed by"),
    ],
)
def test_unsound_disks_are_named_with_a_remedy(disk: WantedDisk, seen: FoundDisk, words: str) -> None:
    with pytest.raises(FailedPrecondition) as refusal:
        verdict(disk, seen)
    assert refusal.value.reason == "DISK_UNSOUND"
    assert words in refusal.value.message
    assert refusal.value.metadata["path"] == "/i/x/disk"
    assert refusal.value.metadata["remedy"] in refusal.value.message


def test_one_unsound_disk_refuses_all_before_any_is_made() -> None:
    with pytest.raises(FailedPrecondition):
        judge_all(WANTED, {"disk.swap": found(512 * MIB, "/etc/shadow")}, BASES)
