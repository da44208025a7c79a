"""The power is cut, or the disk breaks: what was synced is there, and from that everything ends well.

Everything lies on a file system of its own in a file. A copy of that file, made while everybody works, is what a disk
holds when the power goes: what the kernel had not written yet is not in it.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from tests.chaos import points
from tests.chaos.arena import ALL, Arena
from tests.chaos.invariants import settle
from tests.chaos.patience import request
from tests.chaos.points import Verb
from tests.chaos.wave import Field, field_of, fresh

CASES = [
    Verb.CREATE,
    Verb.DELETE,
    pytest.param(Verb.START, marks=pytest.mark.full),
    pytest.param(Verb.STOP, marks=pytest.mark.full),
]


class Disk:
    """An ext4 in a file, mounted where an arena keeps its data."""

    def __init__(self, file: Path, mounted: Path) -> None:
        self._file, self._mounted = file, mounted
        with file.open("wb") as empty:
            empty.truncate(256 << 20)
        _run("mkfs.ext4", "-q", "-F", "-m", "0", file)
        mounted.mkdir(parents=True)
        self.mount()

    def mount(self) -> None:
        """As at a boot: what its own journal holds is replayed."""
        _run("mount", "-o", "loop", self._file, self._mounted)

    def unmount(self) -> None:
        """Whoever still looks at it may go on looking."""
        _run("umount", "-l", self._mounted)

    def lose_power(self) -> None:
        """From now on it is what it was on the platter at this moment. Nobody may have it open."""
        self.unmount()
        self._image().replace(self._file)
        self.mount()

    def remember(self) -> None:
        """The moment in which the power will have been cut."""
        shutil.copyfile(self._file, self._image())

    def break_down(self) -> None:
        """ext4 meets an error, and allows nothing to be written any more."""
        _run("mount", "-o", "remount,abort", self._mounted)

    def _image(self) -> Path:
        return self._file.with_suffix(".cut")


@pytest.fixture
def arena() -> Arena:
    return Arena()


@pytest.fixture
def disk(arena: Arena, tmp_path: Path) -> Iterator[Disk]:
    made = Disk(tmp_path / "disk", arena.data)
    yield made
    with contextlib.suppress(subprocess.CalledProcessError):
        made.unmount()


@pytest.fixture
def plugged(disk: Disk, arena: Arena, empty_image: Path) -> Iterator[Field]:
    with field_of(arena, empty_image) as field:
        yield field


@pytest.mark.timeout(240)
@pytest.mark.parametrize("verb", CASES)
def test_what_was_accepted_survives_a_power_cut(plugged: Field, disk: Disk, verb: Verb) -> None:
    def strike() -> None:
        disk.remember()
        plugged.arena.fell(ALL)
        disk.lose_power()

    plugged.disturbed(verb, points.passed(verb), strike, lambda: plugged.arena.revive(ALL))


@pytest.mark.timeout(240)
def test_a_disk_that_turns_read_only_is_told_of_and_nothing_is_lost(plugged: Field, disk: Disk) -> None:
    (resting,) = plugged.resting(Verb.REBOOT, 1)
    pinned = plugged.pin(Verb.CREATE, ["compute.start.backing.before", "api.dispatch.after_call"])
    disk.break_down()
    plugged.arena.release()
    (uid,) = fresh(1)
    with pytest.raises(grpc.RpcError) as refused:
        plugged.client.instances.CreateInstance(request(Verb.CREATE, uid, plugged.image), timeout=20)
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE, refused.value
    assert plugged.get(resting).name, "reading goes on"
    plugged.arena.fell(ALL)
    disk.unmount()
    disk.mount()
    plugged.arena.revive(ALL)
    plugged.assert_ended_well(pinned)
    settle(plugged.scene)


def _run(*command: object) -> None:
    subprocess.run([str(word) for word in command], check=True)
