"""The inspector on files that somebody made with intent; and where the stand-in may be used in its place."""

from __future__ import annotations

import os
import struct
import subprocess
from pathlib import Path

import pytest

from image_svc.adapters.inspector import ChildInspector
from image_svc.domain.acceptance import format_of
from image_svc.domain.images import DiskFormat
from image_svc.ports import Inspector
from svckit.errors import FailedPrecondition
from svckit.process import Limits
from tests.fakes.image_svc import SniffingInspector
from tests.unit.image_svc.given import descriptor, mbr

MIB = 1024**2


def real() -> ChildInspector:
    return ChildInspector(seconds=30, limits=Limits())


@pytest.fixture(params=["fake", "oslo"])
def inspector(request: pytest.FixtureRequest) -> Inspector:
    return SniffingInspector() if request.param == "fake" else real()


def make(path: Path, image_format: str, *options: str) -> None:
    subprocess.run(["qemu-img", "create", "-q", "-f", image_format, *options, str(path), "64M"], check=True)


async def test_a_qcow2_is_known_with_its_size(inspector: Inspector, tmp_path: Path) -> None:
    make(tmp_path / "x", "qcow2")
    seen = await inspector.inspect(str(tmp_path / "x"))
    assert (list(seen.contents), seen.virtual_sizes["qcow2"]) == (["qcow2"], 64 * MIB)
    assert seen.file_bytes == (tmp_path / "x").stat().st_size
    assert format_of(seen, None) is DiskFormat.QCOW2


async def test_a_partition_table_is_known(inspector: Inspector, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(mbr((0x83, 1, 100)).ljust(MIB, b"\0"))
    assert format_of(await inspector.inspect(str(tmp_path / "x")), None) is DiskFormat.RAW


async def test_anything_else_is_raw(inspector: Inspector, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(os.urandom(MIB))
    assert list((await inspector.inspect(str(tmp_path / "x"))).contents) == ["raw"]


@pytest.mark.parametrize("size", [0, 1, 511, 513, 40_000])
async def test_a_short_file_is_no_crash(inspector: Inspector, tmp_path: Path, size: int) -> None:
    (tmp_path / "x").write_bytes(b"a" * size)
    assert (await inspector.inspect(str(tmp_path / "x"))).file_bytes == size


@pytest.mark.parametrize("image_format", ["vmdk", "vdi", "vhdx", "qed"])
async def test_other_formats_are_seen_for_what_they_are(image_format: str, tmp_path: Path) -> None:
    make(tmp_path / "x", image_format)
    seen = await real().inspect(str(tmp_path / "x"))
    assert list(seen.contents) == [image_format]
    for declared in (None, DiskFormat.RAW):
        with pytest.raises(FailedPrecondition, match=image_format):
            format_of(seen, declared)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["-b", "/etc/hostname", "-F", "raw", "-u"], "backing file"),
        (["-o", "data_file={}/data"], "data_file"),
    ],
)
async def test_a_qcow2_that_reaches_for_other_files(options: list[str], words: str, tmp_path: Path) -> None:
    make(tmp_path / "x", "qcow2", *(option.format(tmp_path) for option in options))
    with pytest.raises(FailedPrecondition, match=words):
        format_of(await real().inspect(str(tmp_path / "x")), DiskFormat.QCOW2)


@pytest.mark.parametrize("bit", [5, 17, 63])
async def test_a_qcow2_with_features_nobody_knows(bit: int, tmp_path: Path) -> None:
    make(tmp_path / "x", "qcow2")
    with (tmp_path / "x").open("r+b") as file:
        file.seek(72)
        file.write(struct.pack(">Q", 1 << bit))
    with pytest.raises(FailedPrecondition, match="features"):
        format_of(await real().inspect(str(tmp_path / "x")), None)


async def test_two_formats_in_one_file_are_refused(tmp_path: Path) -> None:
    """An iso may begin with anything, also with a qcow2 header that would have the host open its files."""
    make(tmp_path / "x", "qcow2", "-b", "/etc/shadow", "-F", "raw", "-u")
    with (tmp_path / "x").open("r+b") as file:
        file.seek(32768)
        file.write(descriptor(100))
        file.truncate(100 * 2048)
    for declared in (None, DiskFormat.ISO, DiskFormat.RAW):
        with pytest.raises(FailedPrecondition, match="several formats"):
            format_of(await real().inspect(str(tmp_path / "x")), declared)


async def test_a_vmdk_descriptor_alone_is_refused(tmp_path: Path) -> None:
    text = '# Disk DescriptorFile\nversion=1\ncreateType="monolithicFlat"\nRW 2048 FLAT "/etc/shadow" 0\n'
    (tmp_path / "x").write_bytes(text.encode().ljust(MIB, b"\n"))
    with pytest.raises(FailedPrecondition) as refusal:
        format_of(await real().inspect(str(tmp_path / "x")), None)
    assert refusal.value.reason == "IMAGE_UNACCEPTABLE"


async def test_an_iso_is_known(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(bytes(32768) + descriptor(100) + bytes(84 * 2048 - 2048))
    assert format_of(await real().inspect(str(tmp_path / "x")), None) is DiskFormat.ISO


async def test_a_file_that_takes_too_long_is_refused(tmp_path: Path) -> None:
    """A sparse VMDK with its footer at the end makes the parser read all of it."""
    header = struct.pack("<4sIIQQQQIQQ", b"KDMV", 1, 0, 128, 128, 1, 20, 512, 0, 2**64 - 1)
    with (tmp_path / "x").open("wb") as file:
        file.write(header)
        file.truncate(1024**4)
    hasty = ChildInspector(seconds=30, limits=Limits(cpu_seconds=1))
    with pytest.raises(FailedPrecondition) as refusal:
        await hasty.inspect(str(tmp_path / "x"))
    assert refusal.value.reason == "IMAGE_UNACCEPTABLE"
