"""The command's side: start a supervisor, hear what happens, tell it to stop."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from typing import Any

from cli.supervisor.plan import Plan

Event = Mapping[str, Any]


class Launch:
    """A supervisor that was just started, and the pipe on which it tells what happens."""

    def __init__(self, process: subprocess.Popen[bytes], pipe: int) -> None:
        self._process = process
        self._pipe = pipe

    async def events(self) -> AsyncIterator[Event]:
        """What happens, until the supervisor has ended."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        pipe = os.fdopen(self._pipe, "rb")
        transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
        try:
            async for line in reader:
                yield json.loads(line)
        finally:
            transport.close()

    def forget(self) -> None:
        """Reap the process we started: a daemon has left it by now, an attached supervisor has ended."""
        self._process.wait()


def launch(plan: Plan, *, detach: bool) -> Launch:
    """Start a supervisor in a session of its own: Ctrl-C in this terminal reaches us, not it.

    Attached, it stops when this process dies, however it dies. Call it from the main thread: what the kernel watches is
    the thread.
    """
    read_end, write_end = os.pipe()
    argv = [sys.executable, "-m", "cli.supervisor", str(plan.data_dir), "--events", str(write_end)]
    process = subprocess.Popen(
        argv if detach else [*argv, "--attached-to", str(os.getpid())],
        stdin=subprocess.PIPE,
        pass_fds=(write_end,),
        start_new_session=True,
        env={name: value for name, value in os.environ.items() if (name, value) != ("GRPC_VERBOSITY", "NONE")},
        cwd="/",  # Python looks for modules in the current folder first: the user's must not be it
    )
    os.close(write_end)
    assert process.stdin is not None
    process.stdin.write(plan.to_json().encode())
    process.stdin.close()
    return Launch(process, read_end)
