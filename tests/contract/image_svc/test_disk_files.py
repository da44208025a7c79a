"""Files on the disk: templates, config drives, locks, and what happens when the disk says no."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pycdlib
import pytest

from image_svc.adapters.base_files import BaseFolder
from image_svc.adapters.copying import copy_file
from image_svc.adapters.disk_files import InstanceFolders
from image_svc.adapters.file_locks import FileLocks
from image_svc.adapters.image_files import ImageFolder
from image_svc.adapters.iso_pycdlib import IsoBuilder
from image_svc.adapters.mkfs import Mkfs
from image_svc.adapters.os_errors import storage_errors
from image_svc.domain.base_names import Template, ephemeral_template, swap_template
from image_svc.domain.disks import DiskType
from image_svc.ports import Locks, TemplateMaker
from svckit.errors import Aborted, DeadlineExceeded, FailedPrecondition, ResourceExhausted
from svckit.process import Limits
from tests.fakes.image_svc import EmptyTemplates, NoLocks

UID = "3b2ff1a4-64f1-4b41-8a52-7d4fd1d6a2d0"
DIGEST = "0123456789abcdef" * 4
FILES = {
    "openstack/latest/meta_data.json": b'{"uuid": "x"}',
    "openstack/latest/network_data.json": b"{}",
    "openstack/latest/user_data": b"#!/bin/sh\n" * 500,
    "openstack/2018-08-27/meta_data.json": b'{"uuid": "x"}',
    "ec2/2009-04-04/meta-data.json": b"",
}
SUPERBLOCKS_OF_1_GIB = (0, 1, 3, 5, 7)  # block groups
TEMPLATES = {"swap": swap_template(64), "ext4": ephemeral_template(1, "ext4"), "vfat": ephemeral_template(1, "vfat")}


@pytest.fixture(params=["fake", "mkfs"])
def maker(request: pytest.FixtureRequest) -> TemplateMaker:
    return EmptyTemplates() if request.param == "fake" else Mkfs(seconds=30, limits=Limits())


@pytest.mark.parametrize("template", TEMPLATES.values(), ids=TEMPLATES.keys())
async def test_a_template_has_its_size_and_is_made_again_the_same(
    maker: TemplateMaker, template: Template, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        await maker.make_template(str(tmp_path / name), template)
    status = (tmp_path / "one").stat()
    assert status.st_size == template.size_bytes
    assert status.st_blocks * 512 < template.size_bytes / 8
    one, two = written_blocks(tmp_path / "one"), written_blocks(tmp_path / "two")
    assert one.keys() == two.keys()
    # ext4 notes in its superblocks when it was made; an overlay that was ever mounted has the first of its own.
    assert sum(one[offset] != two[offset] for offset in one) <= len(SUPERBLOCKS_OF_1_GIB)


@pytest.mark.parametrize("kind", TEMPLATES)
async def test_a_template_is_what_its_name_says(kind: str, tmp_path: Path) -> None:
    template = TEMPLATES[kind]
    await Mkfs(seconds=30, limits=Limits()).make_template(str(tmp_path / "x"), template)
    seen = blkid(tmp_path / "x")
    assert seen["TYPE"] == kind
    if kind != "swap":
        assert seen["LABEL"].lower() == "ephemeral0"


async def test_a_missing_mkfs_is_named(tmp_path: Path) -> None:
    ntfs = ephemeral_template(1, "ntfs")
    maker = Mkfs(seconds=30, limits=Limits())
    try:
        await maker.make_template(str(tmp_path / "x"), ntfs)
    except FailedPrecondition as error:
        assert (error.reason, error.metadata) == ("TOOL_MISSING", {"tool": "mkfs.ntfs"})
    else:
        assert blkid(tmp_path / "x")["TYPE"] == "ntfs"


async def test_a_config_drive_holds_its_files_under_both_kinds_of_names(tmp_path: Path) -> None:
    content = await IsoBuilder().build(FILES, DIGEST)
    (tmp_path / "x").write_bytes(content)
    assert (blkid(tmp_path / "x")["TYPE"], blkid(tmp_path / "x")["LABEL"]) == ("iso9660", "config-2")
    iso = pycdlib.PyCdlib()
    iso.open_fp(io.BytesIO(content))
    for path, expected in FILES.items():
        for names in ("rr_path", "joliet_path"):
            read = io.BytesIO()
            iso.get_file_from_iso_fp(read, **{names: f"/{path}"})
            assert read.getvalue() == expected
    iso.close()


async def test_a_config_drives_digest_is_read_back_and_only_from_a_whole_drive(tmp_path: Path) -> None:
    files = InstanceFolders(tmp_path, str(tmp_path / "_base"))
    content = await IsoBuilder().build(FILES, DIGEST)
    await files.write(UID, "disk.config", content)
    found = (await files.look(UID, ["disk.config"]))["disk.config"]
    assert (found.content_digest, found.file_bytes) == (DIGEST, len(content))
    os.truncate(found.path, len(content) - 1)
    assert (await files.look(UID, ["disk.config"]))["disk.config"].content_digest == ""


async def test_folders_let_qemu_through_and_files_are_the_owners(tmp_path: Path) -> None:
    files, bases = InstanceFolders(tmp_path / "a/i", str(tmp_path / "a/i/_base")), BaseFolder(tmp_path / "a/i/_base")
    previous = os.umask(0o077)
    try:
        Path(await bases.prepare("b.part")).write_bytes(b"x")
        await bases.publish("b.part", "b")
        Path(await files.prepare(UID, "disk")).write_bytes(b"x")
        await files.publish(UID, "disk", DiskType.RAW)
    finally:
        os.umask(previous)
    modes = {
        path: stat.S_IMODE((tmp_path / "a" / path).stat().st_mode)
        for path in ("i", "i/_base", "i/_base/b", f"i/{UID}", f"i/{UID}/disk")
    }
    assert modes == {"i": 0o711, "i/_base": 0o711, "i/_base/b": 0o644, f"i/{UID}": 0o711, f"i/{UID}/disk": 0o600}


async def test_disk_info_is_novas(tmp_path: Path) -> None:
    files = InstanceFolders(tmp_path, str(tmp_path / "_base"))
    for name, kind in (("disk", DiskType.QCOW2), ("disk.swap", DiskType.QCOW2)):
        Path(await files.prepare(UID, name)).write_bytes(b"x")
        await files.publish(UID, name, kind)
    text = (tmp_path / UID / "disk.info").read_text()
    assert "\n" not in text
    assert json.loads(text) == {f"{tmp_path}/{UID}/disk": "qcow2", f"{tmp_path}/{UID}/disk.swap": "qcow2"}
    assert await files.remove(UID, ["disk.swap", "disk.local"]) == ["disk.swap"]
    assert json.loads((tmp_path / UID / "disk.info").read_text()) == {f"{tmp_path}/{UID}/disk": "qcow2"}


async def test_removing_all_takes_our_files_and_leaves_those_of_others(tmp_path: Path) -> None:
    files = InstanceFolders(tmp_path, str(tmp_path / "_base"))
    await files.write(UID, "disk.config", b"x")
    Path(await files.prepare(UID, "disk")).write_bytes(b"half made")
    (tmp_path / UID / "console.log").write_text("hello")
    assert await files.remove(UID, []) == ["disk.config"]
    assert [path.name for path in (tmp_path / UID).iterdir()] == ["console.log"]
    (tmp_path / UID / "console.log").unlink()
    assert await files.remove(UID, []) == []
    assert not (tmp_path / UID).exists()
    assert await files.remove(UID, []) == []


async def test_a_folder_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/disk").write_bytes(b"x")
    (tmp_path / UID).symlink_to(tmp_path / "elsewhere")
    files = InstanceFolders(tmp_path, str(tmp_path / "_base"))
    with pytest.raises(FailedPrecondition) as refusal:
        await files.remove(UID, [])
    assert refusal.value.reason == "STORAGE_UNUSABLE"
    assert (tmp_path / "elsewhere/disk").exists()


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"/x/disk": "vmdk"}', b"\xff"])
async def test_a_broken_disk_info_pins_nothing(content: bytes, tmp_path: Path) -> None:
    files = InstanceFolders(tmp_path, str(tmp_path / "_base"))
    Path(await files.prepare(UID, "disk")).write_bytes(b"x")
    await files.publish(UID, "disk", DiskType.RAW)
    (tmp_path / UID / "disk.info").write_bytes(content)
    assert (await files.look(UID, ["disk"]))["disk"].pinned is None


async def test_looking_marks_the_base_as_used(tmp_path: Path) -> None:
    bases = BaseFolder(tmp_path / "_base")
    Path(await bases.prepare("b.part")).write_bytes(b"x")
    await bases.publish("b.part", "b")
    subprocess.run(
        ["qemu-img", "create", "-q", "-f", "qcow2", "-b", tmp_path / "_base/b", "-F", "raw", tmp_path / "o", "1G"],
        check=True,
    )
    files = InstanceFolders(tmp_path, str(tmp_path / "_base"))
    (tmp_path / "o").rename(await files.prepare(UID, "disk"))
    await files.publish(UID, "disk", DiskType.QCOW2)
    os.utime(tmp_path / "_base/b", (0, 0))
    assert (await files.look(UID, ["disk"]))["disk"].has_backing
    assert (tmp_path / "_base/b").stat().st_mtime > 0


async def test_storage_that_does_not_answer_is_told_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = InstanceFolders(tmp_path, str(tmp_path / "_base"), look_seconds=0.05)
    answered = threading.Event()
    monkeypatch.setattr(files, "_look", lambda *_: answered.wait(10))
    with pytest.raises(DeadlineExceeded) as refusal:
        await files.look(UID, ["disk"])
    assert refusal.value.reason == "STORAGE_TIMEOUT"
    answered.set()


async def test_a_copy_has_the_content_and_the_holes(tmp_path: Path) -> None:
    with (tmp_path / "a").open("wb") as file:
        file.write(os.urandom(1000))
        file.seek(200 * 1024**2)
        file.write(b"end")
    await copy_file(str(tmp_path / "a"), str(tmp_path / "b"))
    assert subprocess.run(["cmp", tmp_path / "a", tmp_path / "b"], check=False).returncode == 0


def test_a_full_device_is_told_as_no_space() -> None:
    with pytest.raises(ResourceExhausted) as refusal, storage_errors("/dev/full"):
        Path("/dev/full").write_bytes(b"x")
    assert refusal.value.reason == "NO_SPACE"


def test_any_other_failure_is_told_with_its_path() -> None:
    with pytest.raises(FailedPrecondition) as refusal, storage_errors("/proc/x"):
        Path("/proc/x").write_bytes(b"x")
    assert (refusal.value.reason, refusal.value.metadata["path"]) == ("STORAGE_UNUSABLE", "/proc/x")


async def test_a_part_is_written_by_one_process_at_a_time(tmp_path: Path) -> None:
    files = ImageFolder(tmp_path)
    with holding(tmp_path / f"{UID}.part") as release:
        with pytest.raises(Aborted) as refusal:
            async with files.begin(UID):
                pass
        assert refusal.value.reason == "OPERATION_IN_PROGRESS"
        assert await files.leftovers() == []
        assert (tmp_path / f"{UID}.part").exists()
        release()
    assert await files.leftovers() == []
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(params=["fake", "flock"])
def locks(request: pytest.FixtureRequest, tmp_path: Path) -> Locks:
    return NoLocks() if request.param == "fake" else FileLocks(str(tmp_path / "locks"), 30)


async def test_a_lock_is_free_again_after_use_and_after_failure(locks: Locks) -> None:
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            async with locks.hold("x"), locks.hold("y"):
                raise ZeroDivisionError


async def test_a_lock_waits_for_another_process(tmp_path: Path) -> None:
    (tmp_path / "locks").mkdir()
    locks = FileLocks(str(tmp_path / "locks"), 30)
    order: list[str] = []

    async def wait() -> None:
        async with locks.hold("x"):
            order.append("ours")

    with holding(tmp_path / "locks/protostar-x") as release:
        waiting = asyncio.ensure_future(wait())
        await asyncio.sleep(0.1)
        order.append("theirs")
        release()
        await waiting
    assert order == ["theirs", "ours"]


async def test_a_lock_that_stays_taken_ends_the_wait(tmp_path: Path) -> None:
    (tmp_path / "locks").mkdir()
    with holding(tmp_path / "locks/protostar-x"), pytest.raises(DeadlineExceeded) as refusal:
        async with FileLocks(str(tmp_path / "locks"), 0.1).hold("x"):
            pass
    assert refusal.value.reason == "LOCK_TIMEOUT"


class holding:  # noqa: N801  (reads as what it does)
    """Another process that holds a flock on a file, until it is released."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> Callable[[], None]:
        code = "import fcntl,sys; f=open(sys.argv[1],'a'); fcntl.flock(f,2); print(flush=True); sys.stdin.read()"
        pipe = subprocess.PIPE
        self._process = subprocess.Popen([sys.executable, "-c", code, self._path], stdin=pipe, stdout=pipe)
        self._process.stdout.readline()
        return self._release

    def _release(self) -> None:
        if self._process.returncode is None:
            self._process.communicate()

    def __exit__(self, *_: object) -> None:
        self._release()


def written_blocks(path: Path) -> dict[int, bytes]:
    """Offset to content of every block that is not all zeros."""
    blocks: dict[int, bytes] = {}
    with path.open("rb") as file, contextlib.suppress(OSError):  # ENXIO: no data after this
        end = 0
        while True:
            start = os.lseek(file.fileno(), end, os.SEEK_DATA)
            end = os.lseek(file.fileno(), start, os.SEEK_HOLE)
            file.seek(start)
            for offset in range(start, end, 4096):
                if any(block := file.read(4096)):
                    blocks[offset] = block
    return blocks


def blkid(path: Path) -> dict[str, str]:
    tool = "/usr/sbin/blkid" if Path("/usr/sbin/blkid").exists() else "blkid"
    text = subprocess.run([tool, "-p", "-o", "export", path], capture_output=True, text=True, check=True).stdout
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
