"""The Folders and Consoles ports: in memory and on the file system."""

from __future__ import annotations

import stat
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from compute_svc.adapters.console_files import ConsoleFiles
from compute_svc.adapters.instance_folders import InstanceFolders
from compute_svc.ports import Consoles, Folders
from svckit.errors import Internal
from tests.fakes.compute_ports import FakeConsoles, FakeFolders, World

UID = "6f1d2c3b-0a4e-4f5b-9c8d-1e2f3a4b5c6d"
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
OPERATION = "0d9f0a54-7c1e-4a44-8f5e-2f1f0e3d4c5b"


@dataclass
class Place:
    """Folders and consoles of one host, and how files get there without them."""

    folders: Folders
    consoles: Consoles
    write: Callable[[str, bytes], object]
    read: Callable[[str], bytes | None]


@pytest.fixture(params=["memory", "files"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "memory":
        world = World()
        return Place(
            FakeFolders(world),
            FakeConsoles(world),
            lambda name, data: world.files[UID].update({name: data}),
            lambda name: world.files.get(UID, {}).get(name),
        )
    folder = tmp_path / UID

    def replace(name: str, data: bytes) -> None:
        new = folder / "new"
        new.write_bytes(data)
        new.replace(folder / name)

    return Place(
        InstanceFolders(tmp_path),
        ConsoleFiles(tmp_path),
        replace,
        lambda name: (folder / name).read_bytes() if (folder / name).exists() else None,
    )


async def test_a_folder_is_made_listed_and_removed(place: Place) -> None:
    assert await place.folders.names(UID) is None
    await place.folders.remove(UID)
    await place.folders.make(UID)
    await place.folders.make(UID)
    assert await place.folders.names(UID) == frozenset()
    place.write("disk", b"data")
    assert await place.folders.names(UID) == {"disk"}
    await place.folders.remove(UID)
    assert await place.folders.names(UID) is None


async def test_a_file_is_kept_aside_and_restored(place: Place) -> None:
    await place.folders.make(UID)
    place.write("disk.config", b"old")
    await place.folders.keep_aside(UID, "disk.config")
    place.write("disk.config", b"new")
    assert place.read("disk.config") == b"new"
    await place.folders.restore(UID, "disk.config")
    assert place.read("disk.config") == b"old"
    assert await place.folders.names(UID) == {"disk.config"}


async def test_what_was_not_there_is_removed_again(place: Place) -> None:
    await place.folders.make(UID)
    await place.folders.keep_aside(UID, "disk.config")
    place.write("disk.config", b"new")
    await place.folders.restore(UID, "disk.config")
    assert place.read("disk.config") is None


async def test_what_is_kept_is_always_the_last(place: Place) -> None:
    await place.folders.make(UID)
    place.write("disk.config", b"older")
    await place.folders.keep_aside(UID, "disk.config")
    place.write("disk.config", b"old")
    await place.folders.keep_aside(UID, "disk.config")
    place.write("disk.config", b"new")
    await place.folders.restore(UID, "disk.config")
    assert place.read("disk.config") == b"old"
    await place.folders.keep_aside(UID, "disk.config")
    await place.folders.drop_kept(UID, "disk.config")
    assert await place.folders.names(UID) == {"disk.config"}


async def test_a_boot_is_marked_once_per_boot_of_an_operation(place: Place) -> None:
    await place.folders.make(UID)
    for boot in (1, 1, 2):
        await place.consoles.begin_boot(UID, boot, OPERATION, NOW)
    told = await place.consoles.tail(UID, 10_000)
    assert told is not None
    assert told[0].count(b"boot ") == 2


async def test_the_tail_of_a_console_says_whether_there_is_more(place: Place) -> None:
    assert await place.consoles.tail(UID, 10) is None
    await place.folders.make(UID)
    await place.consoles.begin_boot(UID, 1, OPERATION, NOW)
    whole = await place.consoles.tail(UID, 10_000)
    assert whole is not None and not whole[1]
    assert await place.consoles.tail(UID, 4) == (whole[0][-4:], True)


async def test_a_marker_says_which_boot_when_and_by_whom(tmp_path: Path) -> None:
    (tmp_path / UID).mkdir()
    log = tmp_path / UID / "console.log"
    await ConsoleFiles(tmp_path).begin_boot(UID, 1, OPERATION, NOW)
    assert log.read_text() == f"=== protostar: boot 1 2026-11-23T12:00:00Z operation {OPERATION} ===\n"
    with log.open("a") as guest:
        guest.write("hello\nlogin: ")
    await ConsoleFiles(tmp_path).begin_boot(UID, 2, OPERATION, NOW)
    assert log.read_text().splitlines()[1:3] == ["hello", "login: "]
    assert log.read_text().splitlines()[3].startswith("=== protostar: boot 2 ")


async def test_a_long_console_is_rotated_and_read_over_the_seam(tmp_path: Path) -> None:
    consoles = ConsoleFiles(tmp_path, rotate_at=1000)
    (tmp_path / UID).mkdir()
    log = tmp_path / UID / "console.log"
    log.write_bytes(b"x" * 1000)
    await consoles.begin_boot(UID, 2, OPERATION, NOW)
    assert log.read_bytes().startswith(b"=== protostar: boot 2")
    assert (tmp_path / UID / "console.log.1").read_bytes() == b"x" * 1000
    told = await consoles.tail(UID, log.stat().st_size + 10)
    assert told is not None
    assert told[0].startswith(b"x" * 10 + b"=== protostar") and told[1]


async def test_the_folder_lets_other_users_through_but_not_look(tmp_path: Path) -> None:
    await InstanceFolders(tmp_path).make(UID)
    assert stat.S_IMODE((tmp_path / UID).stat().st_mode) == 0o711


async def test_a_file_system_that_fails_is_told_in_our_words(tmp_path: Path) -> None:
    (tmp_path / UID).write_text("in the way")
    with pytest.raises(Internal) as failed:
        await InstanceFolders(tmp_path).make(UID)
    assert failed.value.reason == "FILE_SYSTEM"
