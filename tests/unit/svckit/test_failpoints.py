"""Failpoints: inert without their variable, once per file, and held for as long as a test likes."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from svckit import failpoints
from svckit.errors import Internal
from svckit.failpoints import failpoint


def _arm(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(failpoints, "_POINTS", failpoints._parse(text))


async def test_a_point_that_nobody_named_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    _arm(monkeypatch, "other=raise")
    await failpoint("here")


async def test_raise_with_a_file_fires_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _arm(monkeypatch, f"here@{tmp_path}/fire=raise")
    await failpoint("here")
    (tmp_path / "fire").touch()
    with pytest.raises(Internal):
        await failpoint("here")
    await failpoint("here")


async def test_hold_tells_that_it_is_reached_and_waits_for_release(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _arm(monkeypatch, f"here@{tmp_path}/stop=hold")
    (tmp_path / "stop").touch()
    reached = asyncio.create_task(failpoint("here"))
    while not (tmp_path / "stop.held").exists():
        await asyncio.sleep(0)
    await failpoint("here")  # only the first one is held
    assert not reached.done()
    (tmp_path / "stop.held").unlink()
    await reached


def test_kill_is_sigkill_at_that_point() -> None:
    program = "import asyncio; from svckit.failpoints import failpoint; asyncio.run(failpoint('x')); print('alive')"
    done = subprocess.run(
        [sys.executable, "-c", program], env={"PROTOSTAR_FAILPOINTS": "x=kill"}, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, "")
