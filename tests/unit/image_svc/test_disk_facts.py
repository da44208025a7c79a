"""Disk facts: the vectors of nova-behaviour, sections 4.1 and 10."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_svc.domain.disks import (
    DiskFacts,
    DiskRole,
    DiskType,
    FoundDisk,
    InstanceDisks,
    WantedDisk,
    check_wanted,
    facts_of,
    is_disk_name,
)
from image_svc.domain.qcow2 import parse
from svckit.errors import InvalidArgument
from tests.fakes.image_svc import qcow2_header

GIB = 1024**3
UID = "3b2ff1a4-64f1-4b41-8a52-7d4fd1d6a2d0"
ROOT = WantedDisk(name="disk", role=DiskRole.ROOT)
CONFIG = WantedDisk(name="disk.config", role=DiskRole.CONFIG)


def test_novas_root_disk() -> None:
    header = parse(qcow2_header(80 * GIB, "/os_instance/_base/4c4935095cb43925d61d67395c452ea248e6b1c4"))
    found = FoundDisk(
        path="/i/disk", file_bytes=149_225_472, allocated_bytes=149_159_936, pinned=DiskType.QCOW2, header=header
    )
    facts = facts_of(ROOT, found)
    assert facts.type is DiskType.QCOW2
    assert facts.virtual_size_bytes == 85_899_345_920
    assert facts.disk_size_bytes == 149_159_936
    assert facts.backing_file == "4c4935095cb43925d61d67395c452ea248e6b1c4"
    assert facts.over_committed_size_bytes == 85_750_185_984


def test_novas_config_drive() -> None:
    facts = facts_of(CONFIG, FoundDisk(path="/i/disk.config", file_bytes=489_472, allocated_bytes=489_472))
    assert (facts.type, facts.virtual_size_bytes, facts.disk_size_bytes) == (DiskType.RAW, 489_472, 489_472)
    assert (facts.backing_file, facts.over_committed_size_bytes) == ("", 0)


def test_a_sparse_raw_disk_is_over_committed_too() -> None:
    found = FoundDisk(path="/i/disk", file_bytes=10 * GIB, allocated_bytes=GIB, pinned=DiskType.RAW)
    assert facts_of(ROOT, found).over_committed_size_bytes == 9 * GIB


def test_a_qcow2_header_in_a_disk_pinned_raw_is_content() -> None:
    """Nova's bug 1221190: a guest may write anything into its disk."""
    header = parse(qcow2_header(2**40, "/etc/shadow"))
    found = FoundDisk(path="/i/disk", file_bytes=GIB, allocated_bytes=GIB, pinned=DiskType.RAW, header=header)
    facts = facts_of(ROOT, found)
    assert (facts.type, facts.virtual_size_bytes, facts.backing_file) == (DiskType.RAW, GIB, "")


@given(virtual=st.integers(0, 2**50), allocated=st.integers(0, 2**50))
def test_over_commitment_is_never_negative(virtual: int, allocated: int) -> None:
    facts = DiskFacts(name="disk", path="/", type=DiskType.RAW, virtual_size_bytes=virtual, disk_size_bytes=allocated)
    assert facts.over_committed_size_bytes == (virtual - allocated if virtual > allocated else 0)


@pytest.mark.parametrize("name", ["disk", "disk.local", "disk.eph0", "disk.eph12", "disk.swap", "disk.config"])
def test_our_disk_names(name: str) -> None:
    assert is_disk_name(name)


@pytest.mark.parametrize(
    "name", ["", "..", "disk/../x", "disk.info", "console.log", "disk.eph", "disk.eph1234", "disk\n", "disk.config/x"]
)
def test_no_other_name_is_one_of_our_disks(name: str) -> None:
    assert not is_disk_name(name)


@pytest.mark.parametrize(
    ("field", "disk"),
    [
        ("disks[0].name", WantedDisk(name="../disk", role=DiskRole.ROOT)),
        ("disks[0].name", WantedDisk(name="disk.local", role=DiskRole.ROOT)),
        ("disks[0].name", WantedDisk(name="disk.eph1/../../x", role=DiskRole.EPHEMERAL, size_bytes=GIB)),
        ("disks[0].name", WantedDisk(name="disk", role=DiskRole.SWAP, size_bytes=2**20)),
        ("disks[0].size_bytes", WantedDisk(name="disk", role=DiskRole.ROOT, size_bytes=-512)),
        ("disks[0].size_bytes", WantedDisk(name="disk", role=DiskRole.ROOT, size_bytes=513)),
        ("disks[0].size_bytes", WantedDisk(name="disk.local", role=DiskRole.EPHEMERAL, size_bytes=GIB + 512)),
        ("disks[0].size_bytes", WantedDisk(name="disk.local", role=DiskRole.EPHEMERAL)),
        ("disks[0].size_bytes", WantedDisk(name="disk.swap", role=DiskRole.SWAP, size_bytes=2**19)),
    ],
)
def test_disks_that_cannot_be_meant(field: str, disk: WantedDisk) -> None:
    with pytest.raises(InvalidArgument) as refusal:
        check_wanted(InstanceDisks(uid=UID, image=UID, disks=[disk]))
    assert refusal.value.violations[0].field == field


@pytest.mark.parametrize(
    ("field", "wanted"),
    [
        ("uid", InstanceDisks(uid="../x", image=UID)),
        ("uid", InstanceDisks(uid=UID.upper(), image=UID)),
        ("image", InstanceDisks(uid=UID, image="", disks=[ROOT])),
        ("image", InstanceDisks(uid=UID, image="/etc/passwd")),
        ("disks", InstanceDisks(uid=UID, image=UID, disks=[ROOT, ROOT])),
    ],
)
def test_instances_that_cannot_be_meant(field: str, wanted: InstanceDisks) -> None:
    with pytest.raises(InvalidArgument) as refusal:
        check_wanted(wanted)
    assert refusal.value.violations[0].field == field


def test_a_volume_backed_instance_needs_no_image() -> None:
    check_wanted(InstanceDisks(uid=UID, image="", disks=[CONFIG]))
