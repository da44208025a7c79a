"""The one door to subprocesses: never a shell, always a deadline, limits for tools that read what strangers wrote."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import shutil
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from svckit import tracing
from svckit.errors import DeadlineExceeded, FailedPrecondition, Internal

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a subprocess may use. Nova gives qemu-img 30 s of CPU and 1 GiB (2 since 2023) of address space."""

    cpu_seconds: int = 30
    address_space_bytes: int = 2 * 1024**3

    def prefix(self) -> list[str]:
        """The command that sets them and then becomes the tool (Nova does it the same way)."""
        return ["prlimit", f"--cpu={self.cpu_seconds}", f"--as={self.address_space_bytes}", "--core=0", "--"]


async def run(argv: Sequence[str], *, seconds: float, limits: Limits | None = None, stdin: bytes = b"") -> bytes:
    """Run a program to its end and answer what it wrote to stdout; one span per run.

    Cancelling the caller kills the program, and waits for it to be gone.

    :raise FailedPrecondition: TOOL_MISSING, the program is not installed.
    :raise DeadlineExceeded: TOOL_TIMEOUT, it was killed after `seconds`.
    :raise Internal: TOOL_FAILED, it ended with another status than 0; metadata has argv, status and stderr.
    """
    with tracing.span(
        argv[0].rsplit("/", 1)[-1] + " " + (argv[1] if len(argv) > 1 else ""),
        {"process.command_line": shlex.join(argv)},
    ):
        process = await _spawn([*(limits.prefix() if limits else []), _path_of(argv[0]), *argv[1:]], stdin)
        try:
            async with asyncio.timeout(seconds):
                out, err = await process.communicate()
        except TimeoutError:
            raise DeadlineExceeded(
                f"{argv[0]} did not end within {seconds:g} s and was killed", reason="TOOL_TIMEOUT"
            ) from None
        finally:
            await _end(process)
    if process.returncode != 0:
        text = err.decode(errors="replace").strip()[-1000:]
        log.warning("tool_failed", argv=shlex.join(argv), status=process.returncode, stderr=text)
        raise Internal(
            f"{argv[0]} failed with status {process.returncode}: {text}",
            reason="TOOL_FAILED",
            metadata={"tool": argv[0], "status": str(process.returncode), "stderr": text},
        )
    return out


def _path_of(tool: str) -> str:
    path = shutil.which(tool)
    if path is None:
        raise FailedPrecondition(
            f"the program {tool} is not installed; `protostar doctor` tells the command that installs it",
            reason="TOOL_MISSING",
            metadata={"tool": tool},
        )
    return path


async def _spawn(argv: Sequence[str], stdin: bytes) -> asyncio.subprocess.Process:
    """Its input is a file in memory and not a pipe: a program may end before anybody has written to it."""
    pipe = asyncio.subprocess.PIPE
    descriptor = os.memfd_create("stdin")
    try:
        os.pwrite(descriptor, stdin, 0)
        return await asyncio.create_subprocess_exec(*argv, stdin=descriptor, stdout=pipe, stderr=pipe)
    finally:
        os.close(descriptor)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
