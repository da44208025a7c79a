"""The clock jumps by an hour, under work in hand or while nobody is there: leases, waits, power states."""

from __future__ import annotations

import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from protostar.api.v1 import instance_pb2 as ip

from tests.chaos.arena import ALL, Arena
from tests.chaos.invariants import settle
from tests.chaos.points import Verb
from tests.chaos.wave import Field, field_of

HOUR = 3600
_HEARD = 30.0
IN_HAND = [
    "compute.start.claim.inside",
    "compute.start.backing.before",
    "compute.start.launch.before",
    "compute.start.running.after",
    "api.dispatch.before_call",
    "api.dispatch.after_call",
    "api.finish.after_commit",
    "api.finish.before_commit",
]
CASES = [
    pytest.param(-HOUR, ALL, id="back-all"),
    pytest.param(HOUR, (), id="forth", marks=pytest.mark.full),
    pytest.param(HOUR, ALL, id="forth-all", marks=pytest.mark.full),
    pytest.param(-HOUR, (), id="back", marks=pytest.mark.full),
]


class Clock:
    """What the services take for the time of day: see wall_clock.c."""

    def __init__(self, folder: Path) -> None:
        self._ahead = folder / "ahead"
        self._ahead.write_bytes(bytes(8))
        self._library = folder / "wall_clock.so"
        source = Path(__file__).with_name("wall_clock.c")
        subprocess.run(["gcc", "-Wall", "-Werror", "-O1", "-shared", "-fPIC", "-o", self._library, source], check=True)

    @property
    def settings(self) -> dict[str, str]:
        """For the services."""
        return {"LD_PRELOAD": str(self._library), "CLOCK_AHEAD": str(self._ahead)}

    def set(self, ahead: int) -> None:
        """So many seconds ahead of the truth, for all of them, at once."""
        with self._ahead.open("r+b") as file:  # in place: it is mapped
            file.write(struct.pack("=q", ahead))


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Clock:
    return Clock(tmp_path_factory.mktemp("clock"))


@pytest.fixture(scope="module")
def jumpy(settings: Clock, empty_image: Path) -> Iterator[Field]:
    """Services whose clock may jump. What is asked of them may take longer than any jump."""
    with field_of(Arena(settings=settings.settings), empty_image) as field:
        field.seconds = 3 * HOUR
        yield field


@pytest.fixture
def clock(settings: Clock, jumpy: Field) -> Iterator[Clock]:
    """Right again afterwards, which is a jump as well: a host counts as silent until it is heard at the new time."""
    yield settings
    settings.set(0)
    jumpy.arena.wait_for_host()


@pytest.mark.timeout(180)
@pytest.mark.parametrize(("ahead", "victims"), CASES)
def test_everything_ends_well_although_the_clock_jumps(
    jumpy: Field, clock: Clock, ahead: int, victims: tuple[str, ...]
) -> None:
    def strike() -> None:
        jumpy.arena.fell(victims)
        clock.set(ahead)

    pinned = jumpy.disturbed(Verb.CREATE, IN_HAND, strike, lambda: jumpy.arena.revive(victims))
    jumpy.all_at_once(Verb.REBOOT, [each.uid for each in pinned])
    settle(jumpy.scene)
    _until(lambda: {jumpy.get(each.uid).power_state for each in pinned} == {ip.POWER_STATE_RUNNING})


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _HEARD
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)
