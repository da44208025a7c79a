"""The supervisor as a program: its plan comes on stdin, what happens is told as JSON lines on a pipe.

    python -m cli.supervisor DATA_DIR --events FD [--attached-to PID]

DATA_DIR is there for whoever reads a list of processes. Attached, it stops when that process dies; otherwise it
leaves its session and terminal behind.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from cli.supervisor import linux, lock, logs, ports
from cli.supervisor.plan import Plan
from cli.supervisor.supervise import Supervisor


class Events:
    """Tells the command that started us, while it listens, and the log."""

    def __init__(self, descriptor: int, plan: Plan) -> None:
        os.set_blocking(descriptor, False)
        self._pipe = descriptor
        self._log = logs.open_log(plan.logs_dir, "supervisor")
        for standard in (1, 2):  # what Python itself may have to say
            os.dup2(self._log, standard)

    def tell(self, event: Mapping[str, Any]) -> None:
        """Never blocks and never fails: nobody may be listening, the disk may be full."""
        with contextlib.suppress(OSError):
            os.write(self._pipe, json.dumps(event).encode() + b"\n")
        with contextlib.suppress(OSError):
            stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            os.write(self._log, json.dumps({"timestamp": stamp, **event}).encode() + b"\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run until told to stop. 1 when it could not begin; the reason is the last event."""
    parser = argparse.ArgumentParser(prog="cli.supervisor")
    parser.add_argument("data_dir")
    parser.add_argument("--events", type=int, required=True)
    parser.add_argument("--attached-to", type=int, default=0)
    options = parser.parse_args(argv)
    plan = Plan.from_json(sys.stdin.read())
    if options.attached_to:
        linux.die_with_parent(options.attached_to)
    else:
        _leave()
    events = Events(options.events, plan)
    try:
        return _supervise(plan, events)
    except OSError as error:  # a full disk, a read-only file system
        events.tell({"event": "failed", "why": str(error)})
        return 1


def _supervise(plan: Plan, events: Events) -> int:
    record = _record(plan)
    try:
        lock.acquire(plan.data_dir, record)
    except lock.AlreadyRunning as error:
        events.tell({"event": "already_running", "holder": dict(error.holder)})
        return 1
    events.tell({"event": "locked", **record})
    if taken := _taken(plan):
        events.tell({"event": "address_taken", "taken": taken})
        return 1
    Supervisor(plan, events.tell, lambda state: _publish(plan, {**record, **state})).run()
    events.tell({"event": "finished"})
    return 0


def _record(plan: Plan) -> dict[str, Any]:
    addresses = {program.name: program.address for program in plan.programs}
    return {
        "pid": os.getpid(),
        "started": time.time(),
        "data_dir": str(plan.data_dir),
        "addresses": addresses,
        "drain_seconds": plan.drain_seconds,
    }


def _taken(plan: Plan) -> list[dict[str, str]]:
    return [
        {"service": program.name, "address": program.address, "option": program.option, "why": why}
        for program in plan.programs
        if program.address and (why := ports.why_not_free(program.address))
    ]


def _publish(plan: Plan, state: Mapping[str, Any]) -> None:
    with contextlib.suppress(OSError):  # a full disk must not take the services down
        lock.write_state(plan.data_dir, state)


def _leave() -> None:
    """Become a daemon: our starter has put us in a new session; not leading it, no terminal can become ours."""
    if os.fork() > 0:
        os._exit(0)
    os.chdir("/")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)


if __name__ == "__main__":
    sys.exit(main())
