"""The door to subprocesses."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from svckit import process
from svckit.errors import DeadlineExceeded, FailedPrecondition, Internal


async def test_answers_stdout() -> None:
    assert await process.run(["cat"], seconds=5, stdin=b"x") == b"x"


async def test_a_program_that_ends_before_it_was_given_its_input_has_ended_well() -> None:
    assert await process.run(["true"], seconds=5, stdin=bytes(1 << 20)) == b""


async def test_failure_tells_status_and_stderr() -> None:
    with pytest.raises(Internal) as caught:
        await process.run(["sh", "-c", "echo bad >&2; exit 3"], seconds=5)
    assert caught.value.metadata == {"tool": "sh", "status": "3", "stderr": "bad"}


async def test_missing_tool_says_what_to_do() -> None:
    with pytest.raises(FailedPrecondition, match="protostar doctor"):
        await process.run(["no-such-tool-at-all"], seconds=5)


async def test_hung_tool_is_killed(tmp_path: Path) -> None:
    with pytest.raises(DeadlineExceeded):
        await process.run(["sh", "-c", f"echo $$ > {tmp_path}/pid; exec sleep 60"], seconds=0.3)
    assert not Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}").exists()


async def test_cancelled_caller_kills_it(tmp_path: Path) -> None:
    task = asyncio.create_task(process.run(["sh", "-c", f"echo $$ > {tmp_path}/pid; exec sleep 60"], seconds=60))
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}").exists()


async def test_limits_hold() -> None:
    limits = process.Limits(cpu_seconds=1, address_space_bytes=512 * 1024**2)
    with pytest.raises(Internal):
        await process.run(["sh", "-c", "while :; do :; done"], seconds=20, limits=limits)
    out = await process.run(["sh", "-c", "ulimit -v"], seconds=5, limits=limits)
    assert out.strip() == str(512 * 1024).encode()
