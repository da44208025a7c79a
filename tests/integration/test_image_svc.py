"""The image service over the wire: as a process of its own where its life is at stake, in the test's own elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
import tempfile
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.json_format import MessageToDict
from grpc_health.v1 import health_pb2, health_pb2_grpc
from protostar.api.v1 import image_pb2 as api
from protostar.api.v1 import operation_pb2
from protostar.image.v1 import image_pb2 as pb
from protostar.image.v1 import image_pb2_grpc as rpc

from image_svc.bootstrap import MIGRATIONS, bootstrap
from image_svc.config import ImageSettings
from svckit import channel, server
from svckit.errors import (
    AlreadyExists,
    DeadlineExceeded,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    ProtostarError,
    ResourceExhausted,
    Unavailable,
)
from svckit.migrate import migrate
from tests.contract.image_svc.image_server import ImageServer

MIB, GIB = 1024**2, 1024**3
DIGEST = "0123456789abcdef" * 4


@dataclass
class Remote:
    """Stubs for an image service, and the calls that tests repeat."""

    folder: Path
    channel: grpc.aio.Channel
    catalogue: rpc.CatalogueServiceStub = field(init=False)
    disks: rpc.DiskServiceStub = field(init=False)

    def __post_init__(self) -> None:
        self.catalogue = rpc.CatalogueServiceStub(self.channel)
        self.disks = rpc.DiskServiceStub(self.channel)

    async def events(self, source: object, **fields: Any) -> list[pb.ImportImageResponse]:
        with channel.errors():
            return [event async for event in self.catalogue.ImportImage(order(source, **fields))]

    async def bring_in(self, source: object, **fields: Any) -> api.Image:
        return (await self.events(source, **fields))[-1].image

    async def ensure(self, request: pb.EnsureDisksRequest) -> pb.EnsureDisksResponse:
        with channel.errors():
            return await self.disks.EnsureDisks(request)

    def images(self) -> list[str]:
        return sorted(path.name for path in (self.folder / "images").iterdir())

    def instance(self, uid: str) -> Path:
        return self.folder / "instances" / uid


def order(source: object, **fields: Any) -> pb.ImportImageRequest:
    uid, sha256 = fields.pop("uid", str(uuid.uuid4())), fields.pop("sha256", "")
    image = api.Image(**{"display_name": "debian", **fields})
    return pb.ImportImageRequest(uid=uid, source=str(source), sha256=sha256, image=image)


def root(image: api.Image, size: int = GIB, *others: pb.WantedDisk, uid: str = "") -> pb.EnsureDisksRequest:
    disk = pb.WantedDisk(name="disk", role=pb.DISK_ROLE_ROOT, size_bytes=size)
    return pb.EnsureDisksRequest(uid=uid or str(uuid.uuid4()), image=image.uid, disks=[disk, *others], os_type="linux")


@pytest.fixture(scope="module")
def catalogue_of_none(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty catalogue; alembic needs longer to make one than most tests here take."""
    path = tmp_path_factory.mktemp("catalogue") / "image.sqlite3"
    asyncio.run(migrate(f"sqlite+aiosqlite:///{path}", MIGRATIONS))
    return path


@pytest.fixture
def folder(catalogue_of_none: Path) -> Iterator[Path]:
    """Short: the path of a unix socket has 107 bytes."""
    path = Path(tempfile.mkdtemp(prefix="img-", dir="/tmp"))
    shutil.copy(catalogue_of_none, path)
    yield path
    shutil.rmtree(path)


@contextlib.asynccontextmanager
async def serving(folder: Path, **settings: Any) -> AsyncIterator[Remote]:
    """The service within this process, over a socket."""
    configured = ImageSettings(data_dir=folder, image_address=f"unix:{folder}/s", **settings)
    stop = asyncio.Event()
    life = asyncio.ensure_future(server.serve("image_svc", configured.image_address, 1, bootstrap(configured), stop))
    async with channel.connect(configured.image_address) as connected:
        ready = asyncio.ensure_future(connected.channel_ready())
        await asyncio.wait([ready, life], return_when=asyncio.FIRST_COMPLETED)
        if life.done():
            ready.cancel()
            life.result()
        yield Remote(folder, connected)
    stop.set()
    await life


@pytest.fixture
async def remote(folder: Path) -> AsyncIterator[Remote]:
    async with serving(folder) as running:
        yield running


@pytest.fixture
def qcow2(tmp_path: Path) -> Path:
    """A disk of 64 MiB of which 2 are written."""
    return converted(tmp_path, os.urandom(2 * MIB) + bytes(62 * MIB))


def converted(tmp_path: Path, content: bytes) -> Path:
    (tmp_path / "content").write_bytes(content)
    run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", tmp_path / "content", tmp_path / "disk.qcow2")
    return tmp_path / "disk.qcow2"


def run(*argv: object) -> str:
    return subprocess.run(list(map(str, argv)), check=True, capture_output=True, text=True).stdout


# The catalogue


async def test_an_image_comes_in_step_by_step(remote: Remote, qcow2: Path) -> None:
    events = await remote.events(qcow2, properties={"hw_disk_bus": "scsi"}, min_disk_gib=1, min_memory_mib=64)
    steps = [(event.step.name, event.step.state) for event in events if event.HasField("step")]
    running, done = operation_pb2.STEP_STATE_RUNNING, operation_pb2.STEP_STATE_DONE
    assert steps == [(name, state) for name in ("fetch", "verify", "inspect", "publish") for state in (running, done)]
    assert [event.progress.done_bytes for event in events if event.HasField("progress")][-1] == qcow2.stat().st_size
    image = events[-1].image
    assert image.name == f"images/{image.uid}"
    assert (image.disk_format, image.size_bytes, image.virtual_size_bytes) == ("qcow2", qcow2.stat().st_size, 64 * MIB)
    assert image.sha256 == hashlib.sha256(qcow2.read_bytes()).hexdigest()
    assert (dict(image.properties), image.min_disk_gib, image.min_memory_mib) == ({"hw_disk_bus": "scsi"}, 1, 64)
    assert (await remote.catalogue.GetImage(pb.GetImageRequest(uid=image.uid))).image == image
    assert (await remote.catalogue.ListImages(pb.ListImagesRequest())).images == [image]
    assert (remote.folder / "images" / image.uid).read_bytes() == qcow2.read_bytes()


async def test_an_image_comes_in_over_http(remote: Remote, qcow2: Path) -> None:
    with ImageServer() as web:
        source = web.put("x", qcow2.read_bytes())
        image = await remote.bring_in(source, sha256=hashlib.sha256(qcow2.read_bytes()).hexdigest())
        assert image.size_bytes == qcow2.stat().st_size
        again = await remote.bring_in(source, uid=image.uid)
    assert again == image


async def test_a_removed_image_is_gone_and_its_base_stays(remote: Remote, qcow2: Path) -> None:
    image = await remote.bring_in(qcow2)
    request = root(image)
    await remote.ensure(request)
    await remote.catalogue.DeleteImage(pb.DeleteImageRequest(uid=image.uid))
    assert remote.images() == []
    assert not (await remote.ensure(request)).disks[0].created
    for call in (remote.catalogue.GetImage(pb.GetImageRequest(uid=image.uid)), remote.disks.EnsureDisks(root(image))):
        with pytest.raises(NotFound) as refusal, channel.errors():
            await call
        assert refusal.value.reason == "IMAGE_NOT_FOUND"


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _random(path: Path) -> None:
    path.write_bytes(os.urandom(MIB))


def _raw_gpt_cut_short(path: Path) -> None:
    entry = struct.pack("<B3sB3sII", 0, bytes([0, 2, 0]), 0xEE, b"\xff" * 3, 1, 0xFFFFFFFF)
    header = b"EFI PART" + bytes(24) + struct.pack("<Q", 10 * MIB // 512 - 1)
    path.write_bytes((bytes(446) + entry).ljust(510, b"\0") + b"\x55\xaa" + header.ljust(MIB, b"\0"))


def _qemu(*options: str, size: str = "64M") -> Callable[[Path], None]:
    def make(path: Path) -> None:
        run("qemu-img", "create", "-q", *(option.format(path) for option in options), path, size)

    return make


def _truncated(path: Path) -> None:
    content = path.with_suffix(".content")
    content.write_bytes(os.urandom(4 * MIB))
    run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", content, path)
    os.truncate(path, path.stat().st_size - 2 * MIB)


def _encrypted(path: Path) -> None:
    run("qemu-img", "create", "-q", "-f", "qcow2", path, "1M")
    with path.open("r+b") as file:
        file.seek(32)
        file.write(struct.pack(">I", 1))  # AES, the old way


def _html(path: Path) -> None:
    path.write_text("<!DOCTYPE html><html>404 not found</html>" * 1000)


HOSTILE: dict[str, tuple[Callable[[Path], None], dict[str, str], str]] = {
    "empty": (_empty, {}, "empty"),
    "empty, declared raw": (_empty, {"disk_format": "raw"}, "empty"),
    "random bytes": (_random, {}, "not recognised"),
    "random bytes, declared qcow2": (_random, {"disk_format": "qcow2"}, "declared qcow2"),
    "random bytes, declared iso": (_random, {"disk_format": "iso"}, "declared iso"),
    "an error page": (_html, {}, "IMAGE"),
    "vmdk": (_qemu("-f", "vmdk"), {}, "vmdk"),
    "vdi": (_qemu("-f", "vdi"), {}, "vdi"),
    "vhdx declared raw": (_qemu("-f", "vhdx"), {"disk_format": "raw"}, "vhdx"),
    "qcow2 declared raw": (_qemu("-f", "qcow2"), {"disk_format": "raw"}, "declared raw"),
    "backing file": (_qemu("-f", "qcow2", "-b", "/etc/passwd", "-F", "raw", "-u"), {}, "backing file"),
    "data file": (_qemu("-f", "qcow2", "-o", "data_file={}.data"), {}, "data_file"),
    "truncated": (_truncated, {}, "qemu-img cannot use it"),
    "truncated gpt": (_raw_gpt_cut_short, {}, "truncated"),
    "oversized": (_qemu("-f", "qcow2", size="3T"), {}, "PROTOSTAR_IMAGE_MAX_VIRTUAL_BYTES"),
    "oversized raw": (_qemu("-f", "raw", size="200G"), {"disk_format": "raw"}, "PROTOSTAR_IMAGE_MAX_BYTES"),
    "encrypted": (_encrypted, {}, "encrypted"),
}


@pytest.mark.parametrize("kind", HOSTILE)
async def test_hostile_images_are_refused_and_leave_nothing(kind: str, remote: Remote, tmp_path: Path) -> None:
    make, fields, words = HOSTILE[kind]
    make(tmp_path / "x")
    with pytest.raises(FailedPrecondition) as refusal:
        await remote.bring_in(tmp_path / "x", **fields)
    assert refusal.value.reason == "IMAGE_UNACCEPTABLE"
    assert words in refusal.value.message or words == "IMAGE"
    assert remote.images() == []
    assert not (await remote.catalogue.ListImages(pb.ListImagesRequest())).images


async def test_a_gpt_disk_is_accepted_as_raw(remote: Remote, tmp_path: Path) -> None:
    _raw_gpt_cut_short(tmp_path / "x")
    os.truncate(tmp_path / "x", 10 * MIB)
    assert (await remote.bring_in(tmp_path / "x")).disk_format == "raw"


@pytest.mark.parametrize("kind", ["FOUND", "SUM", "TAKEN", "FIELD", "FORMAT"])
async def test_refusals_of_an_import(kind: str, remote: Remote, qcow2: Path) -> None:
    first = await remote.bring_in(qcow2)
    calls = {
        "FOUND": (FailedPrecondition, "IMAGE_SOURCE_UNREADABLE", remote.bring_in("/does/not/exist")),
        "SUM": (FailedPrecondition, "IMAGE_CHECKSUM_MISMATCH", remote.bring_in(qcow2, sha256="0" * 64)),
        "TAKEN": (AlreadyExists, "IMAGE_ALREADY_EXISTS", remote.bring_in("/other", uid=first.uid)),
        "FIELD": (InvalidArgument, "INVALID_FIELD", remote.bring_in("relative")),
        "FORMAT": (InvalidArgument, "INVALID_FIELD", remote.bring_in(qcow2, disk_format="vmdk")),
    }
    for name, (error, reason, call) in calls.items():
        if name != kind:
            call.close()
            continue
        with pytest.raises(error) as refusal:
            await call
        assert refusal.value.reason == reason
    assert remote.images() == [first.uid]


async def test_an_import_that_its_client_cancels_leaves_nothing(remote: Remote) -> None:
    with ImageServer() as web:
        call = remote.catalogue.ImportImage(order(web.address("drip")))
        async for event in call:
            if event.HasField("progress") and event.progress.done_bytes:
                break
        assert len(remote.images()) == 1
        call.cancel()
        async with asyncio.timeout(10):
            while remote.images():
                await asyncio.sleep(0.02)
    assert not (await remote.catalogue.ListImages(pb.ListImagesRequest())).images


async def test_imports_that_drip_in_hold_up_no_disk_and_no_other_import(folder: Path, qcow2: Path) -> None:
    with ImageServer() as web:
        async with serving(folder, image_heavy_operations=1, image_downloads=2) as remote:
            dripping = remote.catalogue.ImportImage(order(web.address("drip")))
            await beginning(dripping)
            assert (await remote.ensure(root(await remote.bring_in(qcow2)))).disks[0].created
            dripping.cancel()


async def test_a_leftover_that_somebody_holds_or_nobody_can_remove_does_not_stop_the_service(
    folder: Path, qcow2: Path
) -> None:
    (folder / "instances/_base").mkdir(parents=True)
    (folder / "instances/_base/swap_1.part").mkdir()
    (folder / "images").mkdir()
    (folder / f"images/{uuid.uuid4()}").mkdir()
    async with serving(folder) as remote:
        assert (await remote.bring_in(qcow2)).size_bytes == qcow2.stat().st_size


# Disks


async def test_all_disks_of_an_instance_and_their_facts(remote: Remote, qcow2: Path) -> None:
    image = await remote.bring_in(qcow2)
    request = root(
        image,
        GIB,
        pb.WantedDisk(name="disk.local", role=pb.DISK_ROLE_EPHEMERAL, size_bytes=GIB),
        pb.WantedDisk(name="disk.eph1", role=pb.DISK_ROLE_EPHEMERAL, size_bytes=2 * GIB),
        pb.WantedDisk(name="disk.swap", role=pb.DISK_ROLE_SWAP, size_bytes=64 * MIB),
        pb.WantedDisk(name="disk.config", role=pb.DISK_ROLE_CONFIG),
    )
    first = await remote.ensure(request)
    base = hashlib.sha1(image.uid.encode()).hexdigest()
    assert first.base_fetched
    assert {disk.name: (disk.type, disk.virtual_size_bytes, disk.backing_file) for disk in first.disks} == {
        "disk": ("qcow2", GIB, base),
        "disk.local": ("qcow2", GIB, "ephemeral_1_40d1d2c"),
        "disk.eph1": ("qcow2", 2 * GIB, "ephemeral_2_40d1d2c"),
        "disk.swap": ("qcow2", 64 * MIB, "swap_64"),
    }
    for disk in first.disks:
        said = json.loads(run("qemu-img", "info", "-f", "qcow2", "--output=json", disk.path))
        assert (disk.virtual_size_bytes, disk.disk_size_bytes) == (said["virtual-size"], said["actual-size"])
        assert said["full-backing-filename"] == str(remote.folder / "instances/_base" / disk.backing_file)
        assert disk.over_committed_size_bytes == said["virtual-size"] - said["actual-size"]
        assert disk.created
    drive = pb.BuildConfigDriveRequest(uid=request.uid, files={"openstack/latest/meta_data.json": b"{}"}, digest=DIGEST)
    built = (await remote.disks.BuildConfigDrive(drive)).disk
    again = await remote.ensure(request)
    assert [disk.name for disk in again.disks] == ["disk", "disk.local", "disk.eph1", "disk.swap", "disk.config"]
    assert not any(disk.created for disk in again.disks)
    assert again.disks[4].content_digest == DIGEST
    assert MessageToDict(built) == {**MessageToDict(again.disks[4]), "created": True}


async def test_the_base_is_the_image_and_the_overlay_shows_it(remote: Remote, tmp_path: Path) -> None:
    content = os.urandom(2 * MIB) + bytes(2 * MIB)
    image = await remote.bring_in(converted(tmp_path, content))
    disk = (await remote.ensure(root(image, 0))).disks[0]
    assert (remote.folder / "instances/_base" / disk.backing_file).read_bytes() == content
    run("qemu-img", "convert", "-f", "qcow2", "-O", "raw", disk.path, tmp_path / "seen")
    assert (tmp_path / "seen").read_bytes() == content


async def test_a_start_that_finds_everything_runs_nothing_and_asks_no_database(
    remote: Remote, qcow2: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = root(await remote.bring_in(qcow2))
    await remote.ensure(request)
    monkeypatch.setenv("PATH", "/nowhere")
    with sqlite3.connect(remote.folder / "image.sqlite3") as database:
        database.execute("DROP TABLE images")
    assert [disk.name for disk in (await remote.ensure(request)).disks] == ["disk"]


async def test_fifty_instances_at_once_fetch_the_base_once(remote: Remote, qcow2: Path) -> None:
    image = await remote.bring_in(qcow2)
    base = remote.folder / "instances/_base" / hashlib.sha1(image.uid.encode()).hexdigest()
    answers = await asyncio.gather(*(remote.ensure(root(image)) for _ in range(50)))
    inode = base.stat().st_ino
    assert all(answer.disks[0].created and answer.disks[0].backing_file == base.name for answer in answers)
    assert [path.name for path in base.parent.iterdir()] == [base.name]
    assert not (await remote.ensure(root(image))).base_fetched
    assert base.stat().st_ino == inode


async def test_disks_that_are_not_what_they_should_be(remote: Remote, qcow2: Path) -> None:
    image = await remote.bring_in(qcow2)
    request = root(image)
    path = Path((await remote.ensure(request)).disks[0].path)
    run("qemu-img", "rebase", "-u", "-f", "qcow2", "-F", "raw", "-b", "/elsewhere/base", path)
    before = path.read_bytes()
    with pytest.raises(FailedPrecondition) as refusal:
        await remote.ensure(request)
    assert refusal.value.reason == "DISK_UNSOUND"
    assert path.read_bytes() == before
    command = refusal.value.message.partition("there with: ")[2]
    run(*command.split())
    assert (await remote.ensure(request)).disks[0].backing_file == hashlib.sha1(image.uid.encode()).hexdigest()


async def test_a_flavor_that_is_too_small(remote: Remote, qcow2: Path) -> None:
    request = root(await remote.bring_in(qcow2), 32 * MIB)
    with pytest.raises(FailedPrecondition) as refusal:
        await remote.ensure(request)
    assert refusal.value.reason == "FLAVOR_DISK_SMALLER_THAN_IMAGE"
    assert refusal.value.metadata == {"disk": "disk", "wanted_bytes": str(32 * MIB), "image_bytes": str(64 * MIB)}
    assert not remote.instance(request.uid).exists()


async def test_an_image_in_an_image_is_refused_before_a_guest_has_it(remote: Remote, tmp_path: Path) -> None:
    run("qemu-img", "create", "-q", "-f", "qcow2", "-b", "/etc/shadow", "-F", "raw", "-u", tmp_path / "inner", "1M")
    image = await remote.bring_in(converted(tmp_path, (tmp_path / "inner").read_bytes()))
    request = root(image)
    with pytest.raises(FailedPrecondition) as refusal:
        await remote.ensure(request)
    assert refusal.value.reason == "IMAGE_UNACCEPTABLE"
    assert not remote.instance(request.uid).exists()
    assert list((remote.folder / "instances/_base").iterdir()) == []


@pytest.mark.parametrize("uid", ["", "..", "../../etc", "3B2FF1A4-64F1-4B41-8A52-7D4FD1D6A2D0"])
async def test_an_instance_id_is_never_a_path(remote: Remote, uid: str) -> None:
    image = api.Image(uid=str(uuid.uuid4()))
    calls = [
        remote.disks.EnsureDisks(pb.EnsureDisksRequest(uid=uid, image=image.uid)),
        remote.disks.BuildConfigDrive(pb.BuildConfigDriveRequest(uid=uid, digest=DIGEST)),
        remote.disks.RemoveDisks(pb.RemoveDisksRequest(uid=uid)),
    ]
    for call in calls:
        with pytest.raises(InvalidArgument) as refusal, channel.errors():
            await call
        assert refusal.value.violations[0].field == "uid"


async def test_removing_disks(remote: Remote, qcow2: Path) -> None:
    request = root(
        await remote.bring_in(qcow2),
        GIB,
        pb.WantedDisk(name="disk.swap", role=pb.DISK_ROLE_SWAP, size_bytes=MIB),
    )
    await remote.ensure(request)
    remove = remote.disks.RemoveDisks
    assert (await remove(pb.RemoveDisksRequest(uid=request.uid, names=["disk.swap", "disk.local"]))).removed == [
        "disk.swap"
    ]
    with pytest.raises(InvalidArgument), channel.errors():
        await remove(pb.RemoveDisksRequest(uid=request.uid, names=["../_base"]))
    assert (await remove(pb.RemoveDisksRequest(uid=request.uid))).removed == ["disk"]
    assert not remote.instance(request.uid).exists()
    assert (await remove(pb.RemoveDisksRequest(uid=request.uid))).removed == []
    assert (await remote.ensure(request)).disks[0].created


async def test_a_newer_config_drive_replaces_the_older(remote: Remote) -> None:
    uid = str(uuid.uuid4())
    for digest in (DIGEST, DIGEST[::-1]):
        request = pb.BuildConfigDriveRequest(uid=uid, files={"a/b": digest.encode()}, digest=digest)
        assert (await remote.disks.BuildConfigDrive(request)).disk.content_digest == digest
    drive = remote.instance(uid) / "disk.config"
    assert DIGEST[::-1].encode() in drive.read_bytes()
    assert sorted(path.name for path in drive.parent.iterdir()) == ["disk.config", "disk.info"]


@pytest.mark.parametrize(
    ("files", "digest"), [({"../x": b""}, DIGEST), ({"/x": b""}, DIGEST), ({"x": b""}, ""), ({"x": b""}, "x" * 64)]
)
async def test_config_drives_that_are_refused(remote: Remote, files: dict[str, bytes], digest: str) -> None:
    uid = str(uuid.uuid4())
    with pytest.raises(InvalidArgument), channel.errors():
        await remote.disks.BuildConfigDrive(pb.BuildConfigDriveRequest(uid=uid, files=files, digest=digest))
    assert not remote.instance(uid).exists()


# Its life, as a process


class Process:
    """`python -m image_svc` with surroundings of the test's choice."""

    def __init__(self, folder: Path, *, front: tuple[str, ...] = (), **environment: str) -> None:
        self.folder = folder
        self.address = f"unix:{folder}/p"
        own = {
            "PROTOSTAR_DATA_DIR": str(folder),
            "PROTOSTAR_IMAGE_ADDRESS": self.address,
            "OTEL_TRACES_EXPORTER": "none",
        }
        self._log = (folder / "log").open("ab")
        argv = [*front, sys.executable, "-m", "image_svc"]
        self._process = subprocess.Popen(argv, env={**os.environ, **own, **environment}, stderr=self._log)

    async def __aenter__(self) -> Process:
        self._channel = channel.connect(self.address)
        async with asyncio.timeout(30):
            await self._channel.channel_ready()
        self.remote = Remote(self.folder, self._channel)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._channel.close()
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._log.close()
        print((self.folder / "log").read_text())  # pytest shows it when the test fails

    def terminate(self) -> None:
        self._process.send_signal(signal.SIGTERM)

    async def ended(self) -> int:
        async with asyncio.timeout(30):
            return await asyncio.to_thread(self._process.wait)

    async def health(self) -> int:
        answer = await health_pb2_grpc.HealthStub(self._channel).Check(health_pb2.HealthCheckRequest())
        return int(answer.status)


async def beginning(call: Any) -> None:
    """Until an import is fetching."""
    async for event in call:
        if event.HasField("progress"):
            return


async def test_sigterm_lets_work_in_hand_end(folder: Path, qcow2: Path) -> None:
    slow = {"PROTOSTAR_FAILPOINTS": "image.ensure_disks.base.inside=sleep:1"}
    async with Process(folder, **slow) as process:
        image = await process.remote.bring_in(qcow2)
        call = asyncio.ensure_future(process.remote.ensure(root(image)))
        while not (folder / "instances/locks").exists():
            await asyncio.sleep(0.01)
        process.terminate()
        assert (await call).disks[0].created
        assert await process.ended() == 0


async def test_sigterm_cuts_off_what_takes_too_long_and_leaves_nothing(folder: Path) -> None:
    with ImageServer() as web:
        async with Process(folder, PROTOSTAR_DRAIN_SECONDS="0.2") as process:
            await beginning(process.remote.catalogue.ImportImage(order(web.address("drip"))))
            assert len(process.remote.images()) == 1
            process.terminate()
            assert await process.ended() == 0
    assert list((folder / "images").iterdir()) == []


@pytest.mark.parametrize("place", ["fetch", "before_publish", "before_commit"])
async def test_killed_in_the_middle_of_an_import_it_starts_clean_and_can_repeat_it(
    place: str, folder: Path, qcow2: Path
) -> None:
    asked = order(qcow2)
    async with Process(folder, PROTOSTAR_FAILPOINTS=f"image.import_image.{place}=kill") as process:
        with pytest.raises(Unavailable), channel.errors():
            async for _ in process.remote.catalogue.ImportImage(asked):
                pass
        assert await process.ended() == -signal.SIGKILL
    assert len(list((folder / "images").iterdir())) == 1
    async with Process(folder) as process:
        assert process.remote.images() == []
        image = await process.remote.bring_in(qcow2, uid=asked.uid)
        assert process.remote.images() == [image.uid]


@pytest.mark.parametrize("place", ["base.inside", "base.before_publish", "disk.before_publish", "disk.after_publish"])
async def test_killed_in_the_middle_of_making_disks_the_next_call_ends_it(
    place: str, folder: Path, qcow2: Path
) -> None:
    once = folder / "once"
    once.touch()
    async with Process(folder, PROTOSTAR_FAILPOINTS=f"image.ensure_disks.{place}@{once}=kill") as process:
        image = await process.remote.bring_in(qcow2)
        request = root(image)
        with pytest.raises(Unavailable):
            await process.remote.ensure(request)
        assert await process.ended() == -signal.SIGKILL
    async with Process(folder) as process:
        disk = (await process.remote.ensure(request)).disks[0]
        assert disk.virtual_size_bytes == GIB
        assert sorted(path.name for path in Path(disk.path).parent.iterdir()) == ["disk", "disk.info"]
        assert [path.name for path in (folder / "instances/_base").iterdir()] == [disk.backing_file]
        run("qemu-img", "check", "-f", "qcow2", disk.path)


async def test_a_full_disk_is_told_and_leaves_nothing(folder: Path, tmp_path: Path) -> None:
    """A limit on the size of files stands for the end of the disk: it needs no privilege, and the same calls fail."""
    image = converted(tmp_path, os.urandom(MIB) + bytes(15 * MIB))
    big = tmp_path / "big"
    big.write_bytes(bytes(510) + b"\x55\xaa" + os.urandom(8 * MIB))
    async with Process(folder, front=("prlimit", f"--fsize={4 * MIB}", "--")) as process:
        with pytest.raises(ResourceExhausted) as refusal:
            await process.remote.bring_in(big, disk_format="raw")
        assert refusal.value.reason == "NO_SPACE"
        assert process.remote.images() == []
        request = root(await process.remote.bring_in(image))
        with pytest.raises(ResourceExhausted) as refusal:
            await process.remote.ensure(request)
        assert refusal.value.reason == "NO_SPACE"
        assert not process.remote.instance(request.uid).exists()
        assert list((folder / "instances/_base").iterdir()) == []


async def test_a_hung_qemu_img_ends_at_its_deadline_and_others_go_on(folder: Path, tmp_path: Path, qcow2: Path) -> None:
    front = tmp_path / "bin/qemu-img"
    front.parent.mkdir()
    real = shutil.which("qemu-img")
    front.write_text(f'#!/bin/sh\n[ "$1" = convert ] && exec sleep 600\nexec {real} "$@"\n')
    front.chmod(0o755)
    path = f"{front.parent}:{os.environ['PATH']}"
    async with Process(folder, PATH=path, PROTOSTAR_IMAGE_CONVERT_SECONDS="1") as process:
        image = await process.remote.bring_in(qcow2)
        hung = asyncio.ensure_future(process.remote.ensure(root(image)))
        swap = pb.WantedDisk(name="disk.swap", role=pb.DISK_ROLE_SWAP, size_bytes=MIB)
        other = pb.EnsureDisksRequest(uid=str(uuid.uuid4()), disks=[swap])
        assert (await process.remote.ensure(other)).disks[0].created
        assert await process.health() == health_pb2.HealthCheckResponse.SERVING
        with pytest.raises(DeadlineExceeded) as refusal:
            await hung
        assert refusal.value.reason == "TOOL_TIMEOUT"


async def test_two_processes_on_shared_storage_fetch_a_base_once(folder: Path, tmp_path: Path, qcow2: Path) -> None:
    other = Path(tempfile.mkdtemp(prefix="img-", dir="/tmp"))
    shared = {
        "PROTOSTAR_INSTANCES_PATH": str(folder / "instances"),
        "PROTOSTAR_IMAGES_PATH": str(folder / "images"),
        "PROTOSTAR_IMAGE_DATABASE_URL": f"sqlite+aiosqlite:///{folder}/image.sqlite3",
        "PROTOSTAR_FAILPOINTS": "image.ensure_disks.base.inside=sleep:0.3",
    }
    try:
        async with Process(folder, **shared) as one, Process(other, **shared) as two:
            image = await one.remote.bring_in(qcow2)
            answers = await asyncio.gather(
                *(process.remote.ensure(root(image)) for process in (one, two) for _ in range(5))
            )
        assert all(answer.base_fetched for answer in answers)
        assert [path.name for path in (folder / "instances/_base").iterdir()] == [answers[0].disks[0].backing_file]
    finally:
        shutil.rmtree(other)


async def test_errors_carry_a_trace_and_no_traceback(remote: Remote) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await remote.catalogue.GetImage(pb.GetImageRequest(uid="x"))
    error: ProtostarError = channel.status.from_rpc_error(refusal.value)
    assert (error.reason, error.resource.kind) == ("IMAGE_NOT_FOUND", "image")
    assert "Traceback" not in str(refusal.value)
