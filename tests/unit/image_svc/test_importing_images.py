"""The order of ImportImage: real files in a folder of the test's own, stand-ins around it."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from image_svc.adapters.image_files import ImageFolder
from image_svc.domain.acceptance import Limits
from image_svc.domain.images import DiskFormat, Image, ImportOrder, check_order
from image_svc.usecases.catalogue import CatalogueReader
from image_svc.usecases.import_image import ImportImage, ProgressEvent, StepEvent
from image_svc.usecases.keyed_locks import KeyedLocks
from image_svc.usecases.work import Work
from svckit.clock import utcnow
from svckit.errors import AlreadyExists, FailedPrecondition, Internal, InvalidArgument, NotFound, Unavailable
from tests.fakes.image_svc import HeaderTools, MemoryCatalogue, SniffingInspector, qcow2_header

MIB = 1024**2
CONTENT = qcow2_header(64 * MIB) + bytes(3 * MIB) + b"end"


@dataclass
class Given:
    """`ports.Sources` with one content; `gate` makes it stop in the middle."""

    content: bytes = CONTENT
    gate: asyncio.Event | None = None
    opened: int = 0
    total_bytes: int = 0

    @contextlib.asynccontextmanager
    async def open(self, source: str) -> AsyncIterator[Given]:
        self.opened += 1
        yield self

    async def chunks(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self.content), MIB):
            if self.gate and start:
                await self.gate.wait()
            yield self.content[start : start + MIB]


@dataclass
class Room:
    """An ImportImage and what is around it."""

    folder: Path
    catalogue: MemoryCatalogue = field(default_factory=MemoryCatalogue)
    tools: HeaderTools = field(default_factory=HeaderTools)
    source: Given = field(default_factory=Given)
    work: Work = field(default_factory=lambda: Work(downloads=2, heavy=2, light=2))
    events: list[StepEvent | ProgressEvent] = field(default_factory=list)

    def __post_init__(self) -> None:
        files, busy = ImageFolder(self.folder), KeyedLocks()
        self.reader = CatalogueReader(catalogue=self.catalogue, files=files, busy=busy)
        self.importer = ImportImage(
            catalogue=self.catalogue,
            files=files,
            sources=self.source,
            inspector=SniffingInspector(),
            tools=self.tools,
            limits=Limits(file_bytes=8 * MIB, virtual_bytes=128 * MIB),
            clock=utcnow,
            work=self.work,
            busy=busy,
        )

    async def bring_in(self, order: ImportOrder) -> Image:
        return await self.importer(order, self.events.append)

    def files(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(tmp_path)


def order(**fields: object) -> ImportOrder:
    return replace(ImportOrder(uid=str(uuid.uuid4()), display_name="x", source="/x"), **fields)


async def test_an_image_comes_in(room: Room) -> None:
    asked = order(properties={"hw_disk_bus": "virtio"}, min_disk_gib=1, sha256=hashlib.sha256(CONTENT).hexdigest())
    image = await room.bring_in(asked)
    assert await room.reader.get(asked.uid) == image
    assert (image.disk_format, image.size_bytes, image.virtual_size_bytes) == (DiskFormat.QCOW2, len(CONTENT), 64 * MIB)
    assert (image.sha256, image.properties, image.min_disk_gib) == (asked.sha256, {"hw_disk_bus": "virtio"}, 1)
    assert (room.folder / asked.uid).read_bytes() == CONTENT
    assert room.files() == [asked.uid]


async def test_zeros_become_holes(room: Room) -> None:
    room.source.content = qcow2_header(64 * MIB).ljust(MIB, b"\0") + bytes(6 * MIB)
    asked = order()
    await room.bring_in(asked)
    status = (room.folder / asked.uid).stat()
    assert status.st_size == 7 * MIB
    assert status.st_blocks * 512 <= 2 * MIB


async def test_steps_and_progress_are_told(room: Room) -> None:
    await room.bring_in(order())
    steps = [(event.name, event.ended is not None) for event in room.events if isinstance(event, StepEvent)]
    assert steps == [(name, ended) for name in ("fetch", "verify", "inspect", "publish") for ended in (False, True)]
    progress = [event.done_bytes for event in room.events if isinstance(event, ProgressEvent)]
    assert progress == sorted(progress)
    assert progress[-1] == len(CONTENT)


async def test_again_from_the_same_source_answers_what_is_there(room: Room) -> None:
    asked = order()
    first = await room.bring_in(asked)
    assert await room.bring_in(replace(asked, sha256=first.sha256)) == first
    assert room.source.opened == 1


async def test_two_at_once_fetch_once(room: Room) -> None:
    asked = order()
    one, two = await asyncio.gather(room.bring_in(asked), room.bring_in(asked))
    assert one == two
    assert room.source.opened == 1


@pytest.mark.parametrize("other", [{"source": "/y"}, {"sha256": "0" * 64}])
async def test_a_uuid_that_is_taken_is_refused(room: Room, other: dict[str, str]) -> None:
    asked = order()
    first = await room.bring_in(asked)
    with pytest.raises(AlreadyExists) as refusal:
        await room.bring_in(replace(asked, **other))
    assert refusal.value.reason == "IMAGE_ALREADY_EXISTS"
    assert await room.reader.get(asked.uid) == first
    assert room.files() == [asked.uid]


async def test_a_removed_image_may_come_back_but_no_other_under_its_uuid(room: Room) -> None:
    asked = order()
    await room.bring_in(asked)
    await room.reader.delete(asked.uid)
    assert room.files() == []
    await room.bring_in(asked)
    await room.reader.delete(asked.uid)
    room.source.content = CONTENT + b"other"
    with pytest.raises(AlreadyExists):
        await room.bring_in(asked)
    assert room.files() == []


async def test_a_wrong_sum_leaves_nothing(room: Room) -> None:
    with pytest.raises(FailedPrecondition) as refusal:
        await room.bring_in(order(sha256="0" * 64))
    assert refusal.value.reason == "IMAGE_CHECKSUM_MISMATCH"
    assert refusal.value.metadata == {"expected": "0" * 64, "actual": hashlib.sha256(CONTENT).hexdigest()}
    assert room.files() == []
    failed = [event for event in room.events if isinstance(event, StepEvent) and event.error]
    assert [event.name for event in failed] == ["verify"]


@pytest.mark.parametrize(
    ("content", "words"),
    [(CONTENT + bytes(8 * MIB), "PROTOSTAR_IMAGE_MAX_BYTES"), (qcow2_header(2**40), "VIRTUAL"), (b"", "empty")],
)
async def test_what_is_too_large_or_empty_leaves_nothing(room: Room, content: bytes, words: str) -> None:
    room.source.content = content
    with pytest.raises(FailedPrecondition, match=words):
        await room.bring_in(order())
    assert room.files() == []


async def test_an_announced_size_that_is_too_large_is_not_read(room: Room) -> None:
    room.source.total_bytes = 9 * MIB
    room.source.gate = asyncio.Event()
    with pytest.raises(FailedPrecondition, match="PROTOSTAR_IMAGE_MAX_BYTES"):
        await room.bring_in(order())


async def test_cancelled_in_the_middle_leaves_nothing(room: Room) -> None:
    room.source.gate = asyncio.Event()
    call = asyncio.ensure_future(room.bring_in(order()))
    while not any(isinstance(event, ProgressEvent) for event in room.events):
        await asyncio.sleep(0.001)
    assert len(room.files()) == 1
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert room.files() == []


async def test_cut_off_by_a_shutdown_leaves_nothing(room: Room) -> None:
    room.source.gate = asyncio.Event()
    call = asyncio.ensure_future(room.bring_in(order()))
    while not any(isinstance(event, ProgressEvent) for event in room.events):
        await asyncio.sleep(0.001)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.001):
            await room.work.drain()
    with pytest.raises(Unavailable):
        await call
    assert room.files() == []


async def test_a_catalogue_that_fails_leaves_nothing(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    async def failing(image: Image) -> None:
        raise Internal("the database is away")

    monkeypatch.setattr(room.catalogue, "add", failing)
    with pytest.raises(Internal):
        await room.bring_in(order())
    assert room.files() == []


async def test_the_sweep_removes_what_a_crash_left_and_nothing_else(room: Room) -> None:
    kept = await room.bring_in(order())
    (room.folder / f"{uuid.uuid4()}.part").write_bytes(b"half")
    (room.folder / str(uuid.uuid4())).write_bytes(b"published, and then the power went")
    (room.folder / "README").write_bytes(b"somebody's own")
    await room.reader.sweep()
    assert set(room.files()) == {"README", kept.uid}


async def test_the_sweep_leaves_work_in_hand_alone(room: Room) -> None:
    room.source.gate = asyncio.Event()
    asked = order()
    call = asyncio.ensure_future(room.bring_in(asked))
    while not room.events or not room.files():
        await asyncio.sleep(0.001)
    await room.reader.sweep()
    assert room.files() == [f"{asked.uid}.part"]
    room.source.gate.set()
    await call
    assert room.files() == [asked.uid]


async def test_what_is_not_there_is_not_found(room: Room) -> None:
    uid = str(uuid.uuid4())
    for attempt in (room.reader.get, room.reader.delete):
        with pytest.raises(NotFound) as refusal:
            await attempt(uid)
        assert refusal.value.reason == "IMAGE_NOT_FOUND"


async def test_pages_run_oldest_first_to_the_end(room: Room) -> None:
    images = [await room.bring_in(order(display_name=f"i{number % 2}")) for number in range(5)]
    seen: list[Image] = []
    token = ""
    while True:
        page, token = await room.reader.list(2, token, "")
        seen.extend(page)
        if not token:
            break
    assert seen == images
    odd, _ = await room.reader.list(0, "", 'display_name = "i1"')
    assert odd == images[1::2]


@pytest.mark.parametrize(
    ("size", "token", "text"), [(-1, "", ""), (1, "x", ""), (1, "", "size = 1"), (1, "WyIiXQ==", "")]
)
async def test_bad_pages_are_refused(room: Room, size: int, token: str, text: str) -> None:
    with pytest.raises(InvalidArgument):
        await room.reader.list(size, token, text)


@pytest.mark.parametrize(
    ("field_name", "bad"),
    [
        ("uid", {"uid": "x"}),
        ("uid", {"uid": "00000000-0000-0000-0000-000000000000"}),
        ("image.display_name", {"display_name": ""}),
        ("image.display_name", {"display_name": "x" * 256}),
        ("source", {"source": "relative/path"}),
        ("source", {"source": "file:///etc/passwd"}),
        ("source", {"source": "ftp://x/y"}),
        ("sha256", {"sha256": "ABC"}),
        ("image.min_disk_gib", {"min_disk_gib": -1}),
    ],
)
def test_orders_that_are_wrong_in_themselves(field_name: str, bad: dict[str, object]) -> None:
    with pytest.raises(InvalidArgument) as refusal:
        check_order(order(**bad))
    assert refusal.value.violations[0].field == field_name
