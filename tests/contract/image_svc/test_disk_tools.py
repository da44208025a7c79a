"""qemu-img, and the stand-in for it: what they make is what the header reader reads."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from pathlib import Path

import pytest

from image_svc.adapters.disk_files import InstanceFolders
from image_svc.adapters.qemu_img import Budget, QemuImg
from image_svc.domain.disks import DiskRole, DiskType, WantedDisk, facts_of
from image_svc.ports import DiskTools
from svckit.errors import DeadlineExceeded, FailedPrecondition, Internal, ResourceExhausted
from svckit.process import Limits
from tests.contract.image_svc.conftest import FILES_OF_1_MIB
from tests.fakes.image_svc import HeaderTools

MIB, GIB = 1024**2, 1024**3
UID = "3b2ff1a4-64f1-4b41-8a52-7d4fd1d6a2d0"
ROOT = WantedDisk(name="disk", role=DiskRole.ROOT)
SHORT = Limits()
BUDGET = Budget(short=SHORT, short_seconds=30, long=Limits(cpu_seconds=60), long_seconds=60)


@pytest.fixture(params=["fake", "qemu-img"])
def tools(request: pytest.FixtureRequest) -> DiskTools:
    return HeaderTools() if request.param == "fake" else QemuImg(BUDGET)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A raw base of 10 MiB."""
    path = tmp_path / "_base" / "b,ase"  # a comma, which qemu-img's -o would take apart
    path.parent.mkdir()
    qemu_img("create", "-q", "-f", "raw", path, "10M")
    return path


def qemu_img(*arguments: object) -> str:
    return subprocess.run(["qemu-img", *map(str, arguments)], check=True, capture_output=True, text=True).stdout


async def look(tmp_path: Path, path: Path, pinned: DiskType = DiskType.QCOW2) -> object:
    """Our own facts of a disk that was made at `path`."""
    files = InstanceFolders(tmp_path, str(tmp_path / "_base"))
    await files.prepare(UID, "disk")
    path.rename(tmp_path / UID / "disk")
    await files.pin(UID, "disk", pinned)
    found = (await files.look(UID, ["disk"]))["disk"]
    files.close()
    return facts_of(ROOT, found)


async def test_an_overlay_has_its_size_and_its_backing(tools: DiskTools, tmp_path: Path, base: Path) -> None:
    await tools.create_overlay(str(tmp_path / "o"), str(base), GIB)
    facts = await look(tmp_path, tmp_path / "o")
    assert (facts.virtual_size_bytes, facts.backing_file, facts.type) == (GIB, base.name, DiskType.QCOW2)


async def test_an_overlay_grows(tools: DiskTools, tmp_path: Path, base: Path) -> None:
    path = str(tmp_path / "o")
    await tools.create_overlay(path, str(base), GIB)
    await tools.grow(path, 2 * GIB)
    assert (await tools.info(path, "qcow2")).virtual_size_bytes == 2 * GIB


async def test_what_cannot_grow_is_unsound(tools: DiskTools, tmp_path: Path) -> None:
    path = tmp_path / "o"
    path.write_bytes(b"no qcow2 at all")
    with pytest.raises(FailedPrecondition) as refusal:
        await tools.grow(str(path), GIB)
    assert refusal.value.reason == "DISK_UNSOUND"


async def test_info_tells_size_and_backing(tools: DiskTools, tmp_path: Path, base: Path) -> None:
    await tools.create_overlay(str(tmp_path / "o"), str(base), GIB)
    info = await tools.info(str(tmp_path / "o"), "qcow2")
    assert (info.format, info.virtual_size_bytes, info.backing_file) == ("qcow2", GIB, str(base))
    assert (await tools.info(str(base), "raw")).virtual_size_bytes == 10 * MIB


async def test_info_of_something_else_is_a_refusal(tools: DiskTools, base: Path) -> None:
    for question in (tools.info(str(base), "qcow2"), tools.check(str(base))):
        with pytest.raises(FailedPrecondition) as refusal:
            await question
        assert refusal.value.reason == "IMAGE_UNACCEPTABLE"
        assert str(base) not in refusal.value.message


async def test_conversion_gives_a_raw_file_of_the_virtual_size(tools: DiskTools, tmp_path: Path) -> None:
    qemu_img("create", "-q", "-f", "qcow2", tmp_path / "q", "64M")
    await tools.convert_to_raw(str(tmp_path / "q"), "qcow2", str(tmp_path / "raw"))
    status = (tmp_path / "raw").stat()
    assert status.st_size == 64 * MIB
    assert status.st_blocks * 512 < MIB


async def test_conversion_keeps_the_content(tmp_path: Path) -> None:
    (tmp_path / "raw").write_bytes(content := os.urandom(3 * MIB))
    qemu_img("convert", "-c", "-f", "raw", "-O", "qcow2", tmp_path / "raw", tmp_path / "q")
    await QemuImg(BUDGET).convert_to_raw(str(tmp_path / "q"), "qcow2", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == content


def _overlay(path: Path, base: Path, *options: str, size: str = "80G") -> None:
    qemu_img("create", "-q", "-f", "qcow2", "-F", "raw", "-b", base, *options, path, size)


def _written(path: Path, base: Path) -> None:
    _overlay(path, base)
    subprocess.run(
        ["qemu-io", "-f", "qcow2", "-c", "write -P 7 5M 3M", "-c", "write 70G 64k", path], check=True, stdout=-3
    )


def _grown(path: Path, base: Path) -> None:
    _overlay(path, base, size="1G")
    qemu_img("resize", "-q", "-f", "qcow2", path, "900G")


def _snapshot(path: Path, base: Path) -> None:
    _overlay(path, base)
    qemu_img("snapshot", "-c", "s", path)


DISKS = {
    "empty": _overlay,
    "written": _written,
    "grown": _grown,
    "snapshot": _snapshot,
    "version 2": lambda path, base: _overlay(path, base, "-o", "compat=0.10"),
    "small clusters": lambda path, base: _overlay(path, base, "-o", "cluster_size=4096", size="20M"),
    "extended l2": lambda path, base: _overlay(path, base, "-o", "extended_l2=on"),
    "zstd": lambda path, base: _overlay(path, base, "-o", "compression_type=zstd"),
    "lazy refcounts": lambda path, base: _overlay(path, base, "-o", "lazy_refcounts=on"),
    "no backing": lambda path, base: qemu_img("create", "-q", "-f", "qcow2", path, "3G"),
}


@pytest.mark.parametrize("kind", DISKS)
async def test_our_facts_are_those_of_qemu_img(kind: str, tmp_path: Path, base: Path) -> None:
    """The proof that a start needs no `qemu-img info`."""
    DISKS[kind](tmp_path / "o", base)
    said = json.loads(qemu_img("info", "-f", "qcow2", "--output=json", tmp_path / "o"))
    facts = await look(tmp_path, tmp_path / "o")
    assert facts.type == said["format"]
    assert facts.virtual_size_bytes == said["virtual-size"]
    assert facts.disk_size_bytes == said["actual-size"]
    assert facts.backing_file == Path(said.get("backing-filename", "")).name
    assert facts.over_committed_size_bytes == max(0, said["virtual-size"] - said["actual-size"])


async def test_our_facts_of_a_raw_disk_are_those_of_qemu_img(tmp_path: Path, base: Path) -> None:
    with base.open("r+b") as file:
        file.write(os.urandom(MIB))
    os.sync()
    said = json.loads(qemu_img("info", "-f", "raw", "--output=json", base))
    facts = await look(tmp_path, base, DiskType.RAW)
    assert (facts.virtual_size_bytes, facts.disk_size_bytes) == (said["virtual-size"], said["actual-size"])


async def test_a_data_file_is_seen(tmp_path: Path) -> None:
    """Of which `qemu-img info` says that it is the disk's own, since CVE-2024-32498 a reason to refuse it."""
    qemu_img("create", "-q", "-f", "qcow2", "-o", f"data_file={tmp_path}/data", tmp_path / "o", "1G")
    files = InstanceFolders(tmp_path, str(tmp_path / "_base"))
    await files.prepare(UID, "disk")
    (tmp_path / "o").rename(tmp_path / UID / "disk")
    header = (await files.look(UID, ["disk"]))["disk"].header
    assert header is not None
    assert header.has_data_file


async def test_a_full_file_system_is_told_as_no_space(small_disk: Path, tmp_path: Path) -> None:
    (tmp_path / "raw").write_bytes(os.urandom(4 * MIB))
    with pytest.raises(ResourceExhausted) as refusal:
        await QemuImg(BUDGET).convert_to_raw(str(tmp_path / "raw"), "raw", str(small_disk / "out"))
    assert refusal.value.reason == "NO_SPACE"


async def test_a_file_over_the_limit_of_its_size_is_told_as_no_space(tmp_path: Path, in_front: object) -> None:
    in_front("qemu-img", FILES_OF_1_MIB)
    (tmp_path / "raw").write_bytes(os.urandom(4 * MIB))
    with pytest.raises(ResourceExhausted) as refusal:
        await QemuImg(BUDGET).convert_to_raw(str(tmp_path / "raw"), "raw", str(tmp_path / "out"))
    assert refusal.value.reason == "NO_SPACE"


async def test_a_hung_qemu_img_is_killed_at_its_deadline(tmp_path: Path, base: Path, in_front: object) -> None:
    in_front("qemu-img", f"echo $$ > {tmp_path}/pid; exec sleep 600")
    hasty = QemuImg(Budget(short=SHORT, short_seconds=0.5, long=SHORT, long_seconds=0.5))
    with pytest.raises(DeadlineExceeded) as refusal:
        await hasty.create_overlay(str(tmp_path / "o"), str(base), GIB)
    assert refusal.value.reason == "TOOL_TIMEOUT"
    assert not Path(f"/proc/{int((tmp_path / 'pid').read_text())}").exists()
    with pytest.raises(FailedPrecondition) as verdict:
        await hasty.info(str(base), "raw")
    assert verdict.value.reason == "IMAGE_UNACCEPTABLE"


async def test_a_cancelled_caller_leaves_no_qemu_img_behind(tmp_path: Path, base: Path, in_front: object) -> None:
    in_front("qemu-img", f"echo $$ > {tmp_path}/pid; exec sleep 600")
    call = asyncio.ensure_future(QemuImg(BUDGET).create_overlay(str(tmp_path / "o"), str(base), GIB))
    while not ((tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip()):
        await asyncio.sleep(0.01)
    call.cancel()
    await asyncio.wait([call])
    assert not Path(f"/proc/{int((tmp_path / 'pid').read_text())}").exists()


async def test_qemu_img_that_asks_for_too_much_memory_fails(tmp_path: Path, base: Path) -> None:
    tight = Limits(address_space_bytes=16 * MIB)
    with pytest.raises(Internal):
        await QemuImg(Budget(short=tight, short_seconds=10, long=tight, long_seconds=10)).create_overlay(
            str(tmp_path / "o"), str(base), GIB
        )
