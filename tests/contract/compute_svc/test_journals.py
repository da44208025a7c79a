"""The Journals port: in memory and in files."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from compute_svc.adapters.journal_files import JournalFiles
from compute_svc.domain.failure import Failure
from compute_svc.domain.guest import PowerObservation
from compute_svc.domain.journal import Journal, Launch, Phase
from compute_svc.domain.model import PowerState
from compute_svc.domain.results import (
    Deleted,
    PluggedPort,
    PluggedVolume,
    Rebooted,
    RebootMode,
    Result,
    Started,
    StopOutcome,
    Stopped,
)
from compute_svc.domain.steps import Step, StepState, Verb
from compute_svc.domain.undo import DestroyGuest, RemoveDisks, RemoveFolder, RestoreConfigDrive, RestoreDefinition
from compute_svc.ports import Journals
from svckit.errors import FailedPrecondition, Internal, ResourceExhausted
from tests.fakes.compute_ports import FakeJournals, World

NOW = datetime(2026, 11, 23, 12, 0, 0, 123456, tzinfo=UTC)
UID = "6f1d2c3b-0a4e-4f5b-9c8d-1e2f3a4b5c6d"
POWER = PowerObservation(uid=UID, power=PowerState.RUNNING, observed_at=NOW, reason="booted", generation=3)
STARTED = Started(
    power=POWER,
    ports=(PluggedPort(port="p", network="n", mac_address="fa:16:3e:00:00:01", ip_addresses=("10.0.0.2",)),),
    volumes=(PluggedVolume(volume="v", device="vdb"),),
    fast_start=True,
)
RESULTS: list[Result] = [
    STARTED,
    Stopped(power=POWER, outcome=StopOutcome.KILLED),
    Rebooted(start=STARTED, performed=RebootMode.HARD),
    Deleted(),
]

# A journal store that can be opened again, as after a restart.
Reopen = Callable[[], Journals]


@pytest.fixture(params=["memory", "files"])
def reopen(request: pytest.FixtureRequest, tmp_path: Path) -> Reopen:
    world = World()
    return (lambda: FakeJournals(world)) if request.param == "memory" else (lambda: JournalFiles(tmp_path))


def a_journal(uid: str = UID, **changes: object) -> Journal:
    failure = Failure.of(FailedPrecondition("no", reason="WHY", metadata={"step": "xml"}))
    step = Step(name="xml", state=StepState.FAILED, attempt=2, started_at=NOW, ended_at=NOW, failure=failure)
    values: dict[str, object] = {
        "uid": uid,
        "generation": 3,
        "operation": "op",
        "verb": Verb.REBOOT,
        "attempt": 2,
        "updated_at": NOW,
        "steps": (step,),
        "undo": (
            RemoveFolder(),
            RemoveDisks(names=("disk", "disk.swap")),
            RestoreConfigDrive(),
            RestoreDefinition(xml="<domain>ä\n</domain>", first=True),
            DestroyGuest(),
        ),
        "launch": Launch(boot_id="b", log_size=7),
        "boots": 2,
        "applied": 2,
    }
    return Journal(**(values | changes))  # type: ignore[arg-type]


async def test_what_was_never_written_is_not_there(reopen: Reopen) -> None:
    assert await reopen().read(UID) is None


async def test_the_newest_counts_also_after_a_restart(reopen: Reopen) -> None:
    journals = reopen()
    await journals.append(a_journal())
    await journals.sync(UID)
    newest = a_journal(generation=4, undo=(RestoreDefinition(xml=None),))
    await journals.append(newest)
    assert await journals.read(UID) == newest
    assert await reopen().read(UID) == newest
    await journals.settle(UID)
    assert await reopen().read(UID) == newest


@pytest.mark.parametrize("result", RESULTS, ids=lambda result: result.kind)
async def test_every_end_is_read_as_it_was_written(reopen: Reopen, result: Result) -> None:
    journal = a_journal(phase=Phase.ENDED, result=result, deleted=isinstance(result, Deleted))
    await reopen().append(journal)
    assert await reopen().read(UID) == journal


async def test_the_sweep_forgets_old_tombstones_and_names_what_was_interrupted(reopen: Reopen) -> None:
    journals = reopen()
    for uid, changes in {
        "ended": {"phase": Phase.ENDED, "undo": ()},
        "ended-unsettled": {"phase": Phase.ENDED, "undo": (RestoreDefinition(xml=None),)},
        "interrupted": {},
        "undoing": {"phase": Phase.UNDOING},
        "fresh-tombstone": {"phase": Phase.ENDED, "deleted": True, "undo": ()},
        "old-tombstone": {"phase": Phase.ENDED, "deleted": True, "updated_at": NOW - timedelta(days=8)},
    }.items():
        await journals.append(a_journal(uid, **changes))
    assert await reopen().sweep(NOW) == ["ended-unsettled", "interrupted", "undoing"]
    assert await reopen().read("old-tombstone") is None
    for uid in ("ended", "interrupted", "fresh-tombstone"):
        assert await reopen().read(uid) is not None


async def test_a_resting_journal_is_one_json_document(tmp_path: Path) -> None:
    journals = JournalFiles(tmp_path)
    for generation in range(1, 5):
        await journals.append(a_journal(generation=generation))
    await journals.settle(UID)
    assert len((tmp_path / "_journal" / f"{UID}.json").read_bytes().splitlines()) == 1


@pytest.mark.parametrize("torn", [b'{"uid": "6f1d', b"\x00\x00\x00\x00", b"\n\n", b"[]\n"])
async def test_a_torn_last_line_costs_itself_and_nothing_else(tmp_path: Path, torn: bytes) -> None:
    await JournalFiles(tmp_path).append(a_journal())
    with (tmp_path / "_journal" / f"{UID}.json").open("ab") as file:
        file.write(torn)
    journals = JournalFiles(tmp_path)
    assert await journals.read(UID) == a_journal()
    await journals.append(a_journal(generation=9))
    assert await JournalFiles(tmp_path).read(UID) == a_journal(generation=9)


async def test_a_file_of_which_nothing_is_whole_is_as_good_as_none(tmp_path: Path) -> None:
    (tmp_path / "_journal").mkdir()
    (tmp_path / "_journal" / f"{UID}.json").write_bytes(b'{"uid"')
    assert await JournalFiles(tmp_path).read(UID) is None


async def test_a_full_disk_is_told_and_what_was_there_still_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journals = JournalFiles(tmp_path)
    await journals.append(a_journal())
    real = os.write

    def half(descriptor: int, data: bytes) -> int:
        return real(descriptor, data[: len(data) // 2])

    monkeypatch.setattr(os, "write", half)
    with pytest.raises(ResourceExhausted) as full:
        await journals.append(a_journal(generation=4))
    assert full.value.reason == "NO_SPACE"
    monkeypatch.setattr(os, "write", real)
    assert await journals.read(UID) == await JournalFiles(tmp_path).read(UID) == a_journal()


async def test_a_file_system_that_cannot_be_written_to_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.EROFS, "Read-only file system", str(tmp_path))

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(Internal) as refused:
        await JournalFiles(tmp_path).append(a_journal())
    assert refused.value.reason == "JOURNAL_UNUSABLE"


def test_replacing_keeps_the_rest() -> None:
    assert replace(a_journal(), generation=4) == a_journal(generation=4)
