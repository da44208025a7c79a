"""The supervisor with programs that stand in for services, as real processes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from cli.startup.launch import Launch, launch
from cli.supervisor import linux, lock, logs
from cli.supervisor.plan import Plan, Program

SECONDS = 20
SLEEPER = """
import os, signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print('ready', os.environ.get('WHO', ''), flush=True)
while True: signal.pause()
"""
STUBBORN = SLEEPER.replace("lambda *_: sys.exit(0)", "signal.SIG_IGN")
# Leaves a process behind as libvirt leaves QEMU: a session of its own, its parent gone. It ends when its file does.
GUEST = """
import os, pathlib, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
if os.fork() == 0:
    os.setsid()
    if os.fork() > 0: os._exit(0)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    alive = pathlib.Path(sys.argv[1])
    alive.with_suffix('.new').write_text(str(os.getpid()))
    alive.with_suffix('.new').rename(alive)
    while alive.exists(): time.sleep(0.02)
    os._exit(3)
os.wait()
while True: signal.pause()
"""


def program(name: str, code: str, *argv: str, **fields: Any) -> Program:
    return Program(name=name, argv=(sys.executable, "-c", code, *argv), **fields)


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="ps-cli-", dir="/tmp") as name:
        yield Path(name)


class Watched:
    """A launched supervisor and what it has told so far."""

    def __init__(self, started: Launch) -> None:
        self.launch = started
        self.told: list[Mapping[str, Any]] = []
        self._events = aiter(started.events())

    async def until(self, matches: Callable[[Mapping[str, Any]], bool]) -> Mapping[str, Any]:
        """The first event, from now on, that matches."""
        async with asyncio.timeout(SECONDS):
            async for event in self._events:
                self.told.append(event)
                if matches(event):
                    return event
        raise AssertionError(f"the supervisor ended; it told {self.told}")

    async def event(self, kind: str, **fields: Any) -> Mapping[str, Any]:
        return await self.until(lambda e: e["event"] == kind and all(e.get(k) == v for k, v in fields.items()))

    async def end(self) -> None:
        """Until it has ended, whatever else it tells."""
        with contextlib.suppress(AssertionError):
            await self.until(lambda _: False)
        self.launch.forget()

    @property
    def pid(self) -> int:
        return next(int(e["pid"]) for e in self.told if e["event"] == "locked")


@contextlib.asynccontextmanager
async def supervised(folder: Path, *programs: Program, detach: bool = False, **plan: Any) -> AsyncIterator[Watched]:
    wanted = Plan(data_dir=folder, programs=programs, drain_seconds=plan.pop("drain_seconds", 5.0), **plan)
    watched = Watched(launch(wanted, detach=detach))
    try:
        yield watched
    finally:
        holder = lock.holder(folder)
        if holder:
            os.kill(holder["pid"], signal.SIGTERM)
        await watched.end()


async def test_programs_run_with_their_environment_and_log_and_stop_in_order(folder: Path) -> None:
    programs = [
        program("last", SLEEPER, stop_order=2),
        program("first", SLEEPER),
        program("second", SLEEPER, stop_order=1),
    ]
    async with supervised(folder, *programs, environment={"WHO": "for a test"}) as watched:
        for name in ("last", "first", "second"):
            await watched.event("started", service=name)
            assert await _said(folder, name) == "ready for a test"
        os.kill(watched.pid, signal.SIGTERM)
        await watched.event("finished")
    assert [e["service"] for e in watched.told if e["event"] == "stopped"] == ["first", "second", "last"]
    assert [e["status"] for e in watched.told if e["event"] == "stopped"] == [0, 0, 0]
    assert lock.holder(folder) is None


async def test_a_program_that_dies_is_started_again_and_its_status_is_told(folder: Path) -> None:
    async with supervised(folder, program("svc", SLEEPER), program("other", SLEEPER)) as watched:
        first = await watched.event("started", service="svc")
        other = await watched.event("started", service="other")
        os.kill(first["pid"], signal.SIGKILL)
        ended = await watched.event("ended", service="svc")
        again = await watched.event("started", service="svc")
        state = lock.read_state(folder)["services"]
    assert ended["how"] == "killed by SIGKILL"
    assert again["pid"] != first["pid"]
    assert (state["svc"]["pid"], state["svc"]["restarts"]) == (again["pid"], 1)
    assert (state["other"]["pid"], state["other"]["restarts"]) == (other["pid"], 0)


async def test_a_program_that_cannot_live_is_tried_more_and_more_slowly(folder: Path) -> None:
    async with supervised(folder, program("svc", "raise SystemExit(7)")) as watched:
        ended = [await watched.event("ended", service="svc") for _ in range(3)]
    assert [e["how"] for e in ended] == ["ended with status 7"] * 3
    assert [e["failures"] for e in ended] == [1, 2, 3]
    assert [e["again_in"] for e in ended] == [0.1, 0.5, 1.0]


async def test_a_program_that_is_not_there_is_told_and_does_not_end_the_others(folder: Path) -> None:
    missing = Program(name="gone", argv=("/nonexistent/program",))
    async with supervised(folder, missing, program("svc", SLEEPER)) as watched:
        ended = await watched.event("ended", service="gone")
        await watched.event("started", service="svc")
    assert "No such file" in ended["how"]


async def test_orphans_are_reaped_and_not_taken_for_programs(folder: Path) -> None:
    alive = folder / "guest"
    async with supervised(folder, program("svc", GUEST, str(alive))) as watched:
        await watched.event("started", service="svc")
        guest = await _guest(alive)
        alive.unlink()
        orphan = await watched.event("orphan", pid=guest)
    assert orphan["status"] == 3
    assert not Path(f"/proc/{guest}").exists()
    assert not [e for e in watched.told if e["event"] == "ended"]


async def test_stopping_leaves_guests_alone(folder: Path) -> None:
    alive = folder / "guest"
    async with supervised(folder, program("svc", GUEST, str(alive))) as watched:
        await watched.event("started", service="svc")
        guest = await _guest(alive)
        os.kill(watched.pid, signal.SIGINT)
        await watched.event("finished")
    assert Path(f"/proc/{guest}").exists()
    alive.unlink()
    assert linux.wait_for_end(guest, SECONDS)


async def test_kill_9_of_the_supervisor_takes_the_programs_down_and_leaves_guests(folder: Path) -> None:
    alive = folder / "guest"
    async with supervised(folder, program("svc", GUEST, str(alive)), program("other", SLEEPER)) as watched:
        pids = [(await watched.event("started", service=name))["pid"] for name in ("svc", "other")]
        guest = await _guest(alive)
        os.kill(watched.pid, signal.SIGKILL)
        assert [linux.wait_for_end(pid, SECONDS) for pid in pids] == [True, True]
        assert Path(f"/proc/{guest}").exists()
        alive.unlink()
    assert lock.holder(folder) is None


async def test_the_death_of_the_command_stops_an_attached_supervisor(folder: Path) -> None:
    starter = _starter(folder, detach=False)
    pid = await _holder(folder)
    starter.kill()
    assert linux.wait_for_end(pid, SECONDS)
    starter.wait()


async def test_a_detached_supervisor_outlives_the_command_and_its_session(folder: Path) -> None:
    starter = _starter(folder, detach=True)
    pid = await _holder(folder)
    starter.kill()
    starter.wait()
    assert os.getsid(pid) not in (os.getsid(0), pid)  # it leads no session, so no terminal can become its own
    assert lock.holder(folder) is not None
    os.kill(pid, signal.SIGTERM)
    assert linux.wait_for_end(pid, SECONDS)
    assert lock.holder(folder) is None


async def test_a_second_one_on_the_same_folder_is_refused_and_told_who_has_it(folder: Path) -> None:
    async with supervised(folder, program("svc", SLEEPER, address="127.0.0.1:0")) as first:
        await first.event("started", service="svc")
        second = Watched(launch(Plan(data_dir=folder, programs=(program("svc", SLEEPER),)), detach=False))
        refused = await second.event("already_running")
        await second.end()
    assert refused["holder"]["pid"] == first.pid
    assert refused["holder"]["addresses"] == {"svc": "127.0.0.1:0"}


async def test_an_address_that_is_taken_is_named_with_its_option_and_owner(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        async with supervised(folder, program("svc", SLEEPER, address=address, option="--api")) as watched:
            event = await watched.event("address_taken")
    (taken,) = event["taken"]
    assert (taken["service"], taken["address"], taken["option"]) == ("svc", address, "--api")
    assert f"process {os.getpid()}" in taken["why"]


async def test_a_folder_that_cannot_be_written_is_told(folder: Path) -> None:
    (folder / "run").write_text("in the way")
    async with supervised(folder, program("svc", SLEEPER)) as watched:
        failed = await watched.event("failed")
    assert "run" in failed["why"]


async def test_a_second_signal_kills_what_does_not_stop(folder: Path) -> None:
    async with supervised(folder, program("svc", STUBBORN), drain_seconds=300.0) as watched:
        pid = (await watched.event("started", service="svc"))["pid"]
        await _said(folder, "svc")
        os.kill(watched.pid, signal.SIGTERM)
        await watched.event("stopping")
        os.kill(watched.pid, signal.SIGTERM)
        stopped = await watched.event("stopped", service="svc")
    assert stopped["status"] == -signal.SIGKILL
    assert not Path(f"/proc/{pid}").exists()


async def _said(folder: Path, name: str) -> str:
    """The first line of a program's log, once it is there."""
    async with asyncio.timeout(SECONDS):
        while not (lines := logs.tail(folder / f"logs/{name}.log")):
            await asyncio.sleep(0.02)
    return lines[0]


async def _guest(alive: Path) -> int:
    async with asyncio.timeout(SECONDS):
        while not alive.exists():
            await asyncio.sleep(0.02)
    return int(alive.read_text())


async def _holder(folder: Path) -> int:
    async with asyncio.timeout(SECONDS):
        while not (holder := lock.holder(folder)) or not lock.read_state(folder):
            await asyncio.sleep(0.02)
    return int(holder["pid"])


def _starter(folder: Path, *, detach: bool) -> subprocess.Popen[bytes]:
    """A process that launches a supervisor as the command does, and then waits."""
    plan = Plan(data_dir=folder, programs=(program("svc", SLEEPER),))
    code = (
        "import signal, sys\n"
        "from cli.startup.launch import launch\n"
        "from cli.supervisor.plan import Plan\n"
        f"launch(Plan.from_json(sys.argv[1]), detach={detach})\n"
        "signal.pause()\n"
    )
    return subprocess.Popen([sys.executable, "-c", code, plan.to_json()])
