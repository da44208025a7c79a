"""Which images are let in, from what is known about them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_svc.domain import iso9660, raw_disk
from image_svc.domain.acceptance import Inspection, Limits, QemuInfo, check_agreement, check_base, format_of
from image_svc.domain.images import DiskFormat
from svckit.errors import FailedPrecondition
from tests.unit.image_svc.given import descriptor, mbr

MIB = 1024**2
LIMITS = Limits(file_bytes=10 * MIB, virtual_bytes=100 * MIB)
BOOT = bytes(510) + b"\x55\xaa"
QCOW2 = Inspection(file_bytes=MIB, head=bytes(512), contents=["qcow2"], virtual_sizes={"qcow2": 64 * MIB})
RAW = Inspection(file_bytes=MIB, head=BOOT, contents=["raw"])


def iso(blocks: int, file_bytes: int) -> Inspection:
    return Inspection(file_bytes=file_bytes, head=bytes(iso9660.OFFSET) + descriptor(blocks), contents=["iso", "gpt"])


@pytest.mark.parametrize(
    ("inspection", "declared", "accepted"),
    [
        (QCOW2, None, DiskFormat.QCOW2),
        (QCOW2, DiskFormat.QCOW2, DiskFormat.QCOW2),
        (RAW, None, DiskFormat.RAW),
        (replace(RAW, head=bytes(512)), DiskFormat.RAW, DiskFormat.RAW),
        (replace(RAW, contents=["gpt"]), None, DiskFormat.RAW),
        (iso(100, 100 * 2048), None, DiskFormat.ISO),
        (replace(iso(100, 100 * 2048), contents=["iso"]), DiskFormat.ISO, DiskFormat.ISO),
    ],
)
def test_accepted(inspection: Inspection, declared: DiskFormat | None, accepted: DiskFormat) -> None:
    assert format_of(inspection, declared) is accepted


@pytest.mark.parametrize(
    ("inspection", "declared", "words"),
    [
        (replace(RAW, file_bytes=0), DiskFormat.RAW, "empty"),
        (replace(RAW, contents=["vmdk"]), None, "vmdk"),
        (replace(RAW, contents=["qcow2", "iso"]), None, "several formats"),
        (replace(RAW, contents=["qcow2", "iso", "gpt"]), None, "several formats"),
        (replace(RAW, contents=[]), None, "several formats"),
        (QCOW2, DiskFormat.RAW, "declared raw and its content is qcow2"),
        (RAW, DiskFormat.QCOW2, "declared qcow2 and its content is raw"),
        (replace(RAW, head=bytes(512)), None, "not recognised"),
        (replace(QCOW2, violations={"qcow2": ["Image has a backing file"]}), None, "backing file"),
        (iso(100, 100 * 2048 - 1), None, "truncated"),
        (replace(RAW, head=mbr((0x83, 2048, 4096))), None, "truncated"),
        (replace(RAW, head=mbr((0xEE, 1, 0xFFFFFFFF), gpt_last_sector=2048)), None, "truncated"),
    ],
)
def test_refused(inspection: Inspection, declared: DiskFormat | None, words: str) -> None:
    with pytest.raises(FailedPrecondition) as refusal:
        format_of(inspection, declared)
    assert refusal.value.reason == "IMAGE_UNACCEPTABLE"
    assert words in refusal.value.message


@pytest.mark.parametrize(
    ("head", "claimed"),
    [
        (mbr((0x83, 2048, 4096)), (2048 + 4096) * 512),
        (mbr((0x83, 2048, 4096), (0x82, 6144, 10)), 6154 * 512),
        (mbr((0xEE, 1, 0xFFFFFFFF), gpt_last_sector=2047), 2048 * 512),
        (mbr((0xEE, 1, 0xFFFFFFFF)), 0),
        (bytes(1024), 0),
        (b"\xff" * 510 + b"\x55\xaa", 0),
        (b"", 0),
    ],
)
def test_what_a_partition_table_claims(head: bytes, claimed: int) -> None:
    assert raw_disk.claimed_bytes(head) == claimed


@given(st.binary(max_size=1100))
def test_any_first_sectors_claim_something_that_is_no_crash(head: bytes) -> None:
    assert raw_disk.claimed_bytes(head) >= 0
    assert raw_disk.claimed_bytes(head[:510].ljust(510, b"\0") + b"\x55\xaa" + head[512:]) >= 0


def test_agreement_gives_the_size_a_guest_sees() -> None:
    assert (
        check_agreement(QCOW2, DiskFormat.QCOW2, QemuInfo(format="qcow2", virtual_size_bytes=64 * MIB), LIMITS)
        == 64 * MIB
    )
    odd = replace(RAW, file_bytes=MIB + 1)
    assert (
        check_agreement(odd, DiskFormat.RAW, QemuInfo(format="raw", virtual_size_bytes=MIB + 512), LIMITS) == MIB + 512
    )


@pytest.mark.parametrize(
    ("info", "words"),
    [
        (QemuInfo(format="raw", virtual_size_bytes=64 * MIB), "takes it for raw"),
        (QemuInfo(format="qcow2", virtual_size_bytes=63 * MIB), "qemu-img sees"),
        (QemuInfo(format="qcow2", virtual_size_bytes=64 * MIB, backing_file="/x"), "another file"),
        (QemuInfo(format="qcow2", virtual_size_bytes=64 * MIB, data_file="/x"), "another file"),
        (QemuInfo(format="qcow2", virtual_size_bytes=64 * MIB, is_encrypted=True), "encrypted"),
    ],
)
def test_disagreement_is_a_refusal(info: QemuInfo, words: str) -> None:
    with pytest.raises(FailedPrecondition, match=words) as refusal:
        check_agreement(QCOW2, DiskFormat.QCOW2, info, LIMITS)
    assert refusal.value.reason == "IMAGE_UNACCEPTABLE"


@pytest.mark.parametrize("size", [0, 101 * MIB])
def test_a_virtual_size_out_of_bounds_is_a_refusal(size: int) -> None:
    inspection = replace(QCOW2, virtual_sizes={"qcow2": size})
    with pytest.raises(FailedPrecondition, match="virtual size"):
        check_agreement(inspection, DiskFormat.QCOW2, QemuInfo(format="qcow2", virtual_size_bytes=size), LIMITS)


@pytest.mark.parametrize(
    ("contents", "image_format", "accepted"),
    [
        (["raw"], DiskFormat.QCOW2, True),
        (["gpt"], DiskFormat.RAW, True),
        (["iso", "gpt"], DiskFormat.QCOW2, True),
        (["iso"], DiskFormat.ISO, True),
        (["qcow2"], DiskFormat.QCOW2, False),
        (["vmdk"], DiskFormat.RAW, False),
        (["raw"], DiskFormat.ISO, False),
    ],
)
def test_a_base_holds_no_image_in_an_image(contents: list[str], image_format: DiskFormat, accepted: bool) -> None:
    inspection = replace(RAW, contents=contents)
    if accepted:
        check_base(inspection, image_format)
    else:
        with pytest.raises(FailedPrecondition, match="another image"):
            check_base(inspection, image_format)
