"""The order of EnsureDisks: real files in a folder of the test's own, stand-ins for qemu-img and mkfs."""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from image_svc.adapters.base_files import BaseFolder
from image_svc.adapters.disk_files import InstanceFolders
from image_svc.adapters.image_files import ImageFolder
from image_svc.domain.base_names import base_name
from image_svc.domain.disks import DiskRole, DiskType, InstanceDisks, WantedDisk
from image_svc.domain.images import DiskFormat, Image
from image_svc.usecases.bases import Bases
from image_svc.usecases.ensure_disks import EnsureDisks
from image_svc.usecases.keyed_locks import KeyedLocks
from image_svc.usecases.work import Work
from svckit.errors import FailedPrecondition, Internal, NotFound, ProtostarError, Unavailable
from tests.fakes.image_svc import (
    EmptyTemplates,
    HeaderTools,
    MemoryCatalogue,
    NoLocks,
    SniffingInspector,
    qcow2_header,
)

GIB, MIB = 1024**3, 1024**2
IMAGE = "155d900f-4e14-4e4c-a73d-069cbf4541e6"
ROOT = WantedDisk(name="disk", role=DiskRole.ROOT, size_bytes=GIB)
LOCAL = WantedDisk(name="disk.local", role=DiskRole.EPHEMERAL, size_bytes=GIB)
SWAP = WantedDisk(name="disk.swap", role=DiskRole.SWAP, size_bytes=64 * MIB)


@dataclass
class Room:
    """An EnsureDisks and what is around it."""

    folder: Path
    catalogue: MemoryCatalogue = field(default_factory=MemoryCatalogue)
    tools: HeaderTools = field(default_factory=HeaderTools)
    work: Work = field(default_factory=lambda: Work(downloads=2, heavy=2, light=4))

    def __post_init__(self) -> None:
        base_files = BaseFolder(self.folder / "i/_base")
        self.files = InstanceFolders(self.folder / "i", base_files.folder)
        self.bases = Bases(
            catalogue=self.catalogue,
            images=ImageFolder(self.folder / "images"),
            files=base_files,
            tools=self.tools,
            templates=EmptyTemplates(),
            inspector=SniffingInspector(),
            locks=NoLocks(),
            work=self.work,
        )
        self.ensure = EnsureDisks(
            files=self.files, bases=self.bases, tools=self.tools, busy=KeyedLocks(), work=self.work
        )

    async def with_image(self, content: bytes = qcow2_header(256 * MIB), **fields: object) -> None:
        path = self.folder / "images" / IMAGE
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        image = Image(
            uid=IMAGE,
            display_name="x",
            disk_format=DiskFormat.QCOW2,
            size_bytes=len(content),
            virtual_size_bytes=256 * MIB,
            sha256=hashlib.sha256(content).hexdigest(),
            source="/x",
            create_time=datetime.now(UTC),
        )
        await self.catalogue.add(replace(image, **fields))

    def entries(self, uid: str) -> list[str]:
        folder = self.folder / "i" / uid
        return sorted(path.name for path in folder.iterdir()) if folder.exists() else []

    def base(self) -> Path:
        return self.folder / "i/_base" / base_name(IMAGE)


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(tmp_path)


def wanted(*disks: WantedDisk, uid: str = "") -> InstanceDisks:
    return InstanceDisks(uid=uid or str(uuid.uuid4()), image=IMAGE, disks=disks, os_type="linux")


async def test_everything_is_made_and_then_found(room: Room) -> None:
    await room.with_image()
    asked = wanted(ROOT, LOCAL, SWAP)
    first = await room.ensure(asked)
    assert [(d.name, d.type, d.virtual_size_bytes, d.created) for d in first.disks] == [
        ("disk", DiskType.QCOW2, GIB, True),
        ("disk.local", DiskType.QCOW2, GIB, True),
        ("disk.swap", DiskType.QCOW2, 64 * MIB, True),
    ]
    assert [d.backing_file for d in first.disks] == [base_name(IMAGE), "ephemeral_1_40d1d2c", "swap_64"]
    assert first.base_fetched
    second = await room.ensure(asked)
    assert list(second.disks) == [replace(disk, created=False) for disk in first.disks]
    assert not second.base_fetched
    assert room.entries(asked.uid) == ["disk", "disk.info", "disk.local", "disk.swap"]


async def test_a_root_disk_of_size_0_has_the_images_own(room: Room) -> None:
    await room.with_image()
    ensured = await room.ensure(wanted(replace(ROOT, size_bytes=0)))
    assert ensured.disks[0].virtual_size_bytes == 256 * MIB


async def test_what_is_there_needs_no_catalogue_and_no_tool(room: Room) -> None:
    await room.with_image()
    asked = wanted(ROOT)
    await room.ensure(asked)
    await room.catalogue.remove(IMAGE)
    room.tools.fail = Internal("no tool may run now")
    assert [disk.name for disk in (await room.ensure(asked)).disks] == ["disk"]


async def test_a_disk_with_data_is_not_rewritten(room: Room) -> None:
    await room.with_image()
    asked = wanted(ROOT)
    disk = Path((await room.ensure(asked)).disks[0].path)
    with disk.open("ab") as file:
        file.write(b"the guest's data")
    before = disk.read_bytes()
    room.base().unlink()
    again = await room.ensure(asked)
    assert again.base_fetched
    assert not again.disks[0].created
    assert disk.read_bytes() == before
    assert room.base().stat().st_size == 256 * MIB


async def test_a_lost_base_whose_image_is_gone_is_told(room: Room) -> None:
    await room.with_image()
    asked = wanted(ROOT)
    await room.ensure(asked)
    room.base().unlink()
    await room.catalogue.remove(IMAGE)
    with pytest.raises(NotFound) as refusal:
        await room.ensure(asked)
    assert refusal.value.reason == "IMAGE_NOT_FOUND"


async def test_a_catalogue_file_that_is_not_whole_makes_no_base(room: Room) -> None:
    await room.with_image()
    (room.folder / "images" / IMAGE).write_bytes(b"")
    with pytest.raises(NotFound, match="import it again"):
        await room.ensure(wanted(ROOT))
    assert not room.base().exists()


async def test_a_disk_grows_and_never_shrinks(room: Room) -> None:
    await room.with_image()
    asked = wanted(ROOT)
    await room.ensure(asked)
    larger = replace(asked, disks=[replace(ROOT, size_bytes=2 * GIB)])
    assert (await room.ensure(larger)).disks[0].virtual_size_bytes == 2 * GIB
    assert (await room.ensure(asked)).disks[0].virtual_size_bytes == 2 * GIB


async def test_a_flavor_smaller_than_the_image_changes_nothing(room: Room) -> None:
    await room.with_image()
    asked = wanted(LOCAL, replace(ROOT, size_bytes=128 * MIB))
    with pytest.raises(FailedPrecondition) as refusal:
        await room.ensure(asked)
    assert refusal.value.reason == "FLAVOR_DISK_SMALLER_THAN_IMAGE"
    assert room.entries(asked.uid) == []
    assert not room.base().exists()


async def test_a_failure_takes_back_what_this_call_made(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    await room.with_image()
    asked = wanted(ROOT)
    await room.ensure(asked)
    real = room.tools.create_overlay

    async def failing_at_swap(path: str, backing: str, size_bytes: int) -> None:
        await real(path, backing, size_bytes)
        if "swap" in path:
            raise Internal("broken", reason="TOOL_FAILED")

    monkeypatch.setattr(room.tools, "create_overlay", failing_at_swap)
    with pytest.raises(Internal):
        await room.ensure(replace(asked, disks=[ROOT, LOCAL, SWAP]))
    assert room.entries(asked.uid) == ["disk", "disk.info"]


async def test_fifty_at_once_fetch_a_base_once(room: Room) -> None:
    await room.with_image()
    room.tools.gate = asyncio.Event()
    calls = [asyncio.ensure_future(room.ensure(wanted(ROOT))) for _ in range(50)]
    while not (room.folder / "i/_base").exists():
        await asyncio.sleep(0)
    room.tools.gate.set()
    answers = await asyncio.gather(*calls)
    assert room.tools.conversions == 1
    assert all(answer.base_fetched and answer.disks[0].created for answer in answers)


async def test_two_calls_for_one_instance_make_its_disk_once(room: Room) -> None:
    await room.with_image()
    asked = wanted(ROOT)
    answers = await asyncio.gather(room.ensure(asked), room.ensure(asked))
    assert sorted(answer.disks[0].created for answer in answers) == [False, True]


async def test_when_the_fetching_call_fails_the_next_in_line_tries(room: Room) -> None:
    await room.with_image()
    room.tools.fail = Internal("the first attempt", reason="TOOL_FAILED")
    outcomes = await asyncio.gather(*(room.ensure(wanted(ROOT)) for _ in range(5)), return_exceptions=True)
    assert sum(isinstance(outcome, ProtostarError) for outcome in outcomes) == 1
    assert room.tools.conversions == 1


async def test_an_iso_is_copied_and_pinned_raw(room: Room) -> None:
    content = bytes(1 * MIB) + b"\x55\xaa"
    content = content[:510] + b"\x55\xaa" + content[512:]
    await room.with_image(content, disk_format=DiskFormat.ISO, virtual_size_bytes=len(content))
    asked = wanted(ROOT)
    room.bases._inspector = _Finds("iso")
    disk = (await room.ensure(asked)).disks[0]
    assert (disk.type, disk.backing_file, disk.virtual_size_bytes) == (DiskType.RAW, "", len(content))
    assert Path(disk.path).read_bytes() == content == room.base().read_bytes()
    assert Path(disk.path).stat().st_ino != room.base().stat().st_ino
    again = await room.ensure(asked)
    assert again.disks[0] == replace(disk, created=False)


async def test_a_raw_disk_into_which_a_guest_wrote_a_qcow2_header_stays_raw(room: Room) -> None:
    content = bytes(1 * MIB)
    await room.with_image(content, disk_format=DiskFormat.ISO, virtual_size_bytes=len(content))
    room.bases._inspector = _Finds("iso")
    asked = wanted(ROOT)
    path = Path((await room.ensure(asked)).disks[0].path)
    with path.open("r+b") as file:
        file.write(qcow2_header(GIB, "/etc/shadow"))
    disk = (await room.ensure(asked)).disks[0]
    assert (disk.type, disk.backing_file, disk.virtual_size_bytes) == (DiskType.RAW, "", len(content))


async def test_a_lost_disk_info_is_written_again_from_the_catalogue(room: Room) -> None:
    await room.with_image()
    asked = wanted(ROOT)
    first = await room.ensure(asked)
    info = room.folder / "i" / asked.uid / "disk.info"
    before = info.read_bytes()
    info.unlink()
    again = await room.ensure(asked)
    assert again.disks[0] == replace(first.disks[0], created=False)
    assert info.read_bytes() == before


async def test_an_image_in_an_image_makes_no_base(room: Room) -> None:
    await room.with_image()
    room.bases._inspector = _Finds("vmdk")
    asked = wanted(ROOT)
    with pytest.raises(FailedPrecondition) as refusal:
        await room.ensure(asked)
    assert refusal.value.reason == "IMAGE_UNACCEPTABLE"
    assert list((room.folder / "i/_base").iterdir()) == []
    assert room.entries(asked.uid) == []


async def test_draining_lets_work_end(room: Room) -> None:
    await room.with_image()
    room.tools.gate = asyncio.Event()
    call = asyncio.ensure_future(room.ensure(wanted(ROOT)))
    drain = asyncio.ensure_future(_when(lambda: (room.folder / "i/_base").exists(), room.work.drain))
    await asyncio.sleep(0.01)
    room.tools.gate.set()
    await drain
    assert (await call).disks[0].created


async def test_draining_that_runs_out_of_time_cuts_work_off_and_takes_it_back(room: Room) -> None:
    await room.with_image()
    room.tools.gate = asyncio.Event()
    asked = wanted(ROOT)
    calls = [asyncio.ensure_future(room.ensure(wanted(ROOT))) for _ in range(3)]
    calls.append(asyncio.ensure_future(room.ensure(asked)))
    while not (room.folder / "i/_base").exists():
        await asyncio.sleep(0)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await room.work.drain()
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [Unavailable] * 4
    assert list((room.folder / "i/_base").iterdir()) == []
    assert room.entries(asked.uid) == []


class _Finds:
    """An inspector with one answer."""

    def __init__(self, content: str) -> None:
        self._content = content

    async def inspect(self, path: str) -> object:
        return replace(await SniffingInspector().inspect(path), contents=[self._content])


async def _when(condition: Callable[[], bool], then: Callable[[], object]) -> None:
    while not condition():
        await asyncio.sleep(0)
    await then()
