"""The clock jumps by an hour, under work in hand or while nobody is there: leases, waits, power states."""

from __future__ import annotations

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
_NOTICED = 2.5  # libfaketime looks when more than a second has passed
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
    """What the services take for the time, through libfaketime. What is steady stays steady, as it would."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.set(0)

    @property
    def settings(self) -> dict[str, str]:
        """For the services."""
        (library,) = Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")
        return {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }

    def set(self, ahead: int) -> None:
        """So many seconds ahead of the truth, for all of them, by the time that this returns."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{ahead:+d}\n")
        new.replace(self._file)
        time.sleep(_NOTICED)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Clock:
    return Clock(tmp_path_factory.mktemp("clock") / "ahead")


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
