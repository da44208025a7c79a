"""The loop: start the programs, reap whatever ends, start again what should not have ended, stop in order.

One thread, no signal handlers: signals stay blocked and are taken one by one, so that nothing ever interrupts anything.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cli.supervisor import linux, logs, restarts
from cli.supervisor.plan import Plan, Program

Announce = Callable[[Mapping[str, Any]], None]
_STOPS = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
_SIGNALS = _STOPS | {signal.SIGCHLD}
# A service drains for as long as it was told to; only one that hangs beyond that is killed.
_MARGIN_SECONDS = 3.0


@dataclass
class _Child:
    program: Program
    pid: int | None = None
    started: float = 0.0
    restarts: int = 0
    failures: int = 0
    due: float | None = 0.0


class Supervisor:
    """Runs a plan until it is told to stop by SIGTERM, SIGINT or SIGHUP; a second one kills what still drains.

    Processes that are not children of its own making (guests) are reaped when they end, and never signalled.
    """

    def __init__(self, plan: Plan, announce: Announce, publish: Announce) -> None:
        self._plan = plan
        self._announce = announce
        self._publish = publish
        self._children = [_Child(program) for program in plan.programs]
        self._stopping: list[int] = []
        self._kill_at: float | None = None

    def run(self) -> None:
        """Until every program has been stopped."""
        linux.become_subreaper()
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        self._start_due()
        while not self._is_finished():
            info = signal.sigtimedwait(_SIGNALS, self._patience())
            if info is not None and info.si_signo in _STOPS:
                self._stop()
            self._reap()
            self._advance()

    def _is_finished(self) -> bool:
        return self._kill_at is not None and not any(child.pid for child in self._children)

    def _patience(self) -> float:
        if self._kill_at is not None:
            return max(0.0, min(self._kill_at - time.monotonic(), 1.0))
        due = [child.due for child in self._children if child.due is not None]
        return max(0.0, min(due) - time.monotonic()) if due else 3600.0

    def _advance(self) -> None:
        if self._kill_at is None:
            self._start_due()
        else:
            self._stop_next()

    # Starting

    def _start_due(self) -> None:
        now = time.monotonic()
        for child in self._children:
            if child.due is not None and child.due <= now:
                self._start(child)

    def _start(self, child: _Child) -> None:
        child.started, child.due = time.monotonic(), None
        try:
            child.pid = _spawn(self._plan, child.program)
        except OSError as error:
            self._ended(child, f"cannot be started: {error}")
            return
        self._tell("started", child, pid=child.pid)

    # Ending

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._reaped(pid, os.waitstatus_to_exitcode(status))

    def _reaped(self, pid: int, code: int) -> None:
        child = next((child for child in self._children if child.pid == pid), None)
        if child is None:
            self._announce({"event": "orphan", "pid": pid, "status": code})
            return
        child.pid = None
        if self._kill_at is not None:
            self._tell("stopped", child, status=code)
        else:
            self._ended(child, _in_words(code))

    def _ended(self, child: _Child, how: str) -> None:
        now = time.monotonic()
        child.failures = restarts.failures_after(child.failures, now - child.started)
        child.restarts += 1
        wait = restarts.delay(child.failures)
        child.due = now + wait
        self._tell("ended", child, how=how, failures=child.failures, again_in=wait)

    # Stopping

    def _stop(self) -> None:
        if self._kill_at is not None:
            self._stopping = []
            self._signal_all(signal.SIGKILL)
            return
        self._announce({"event": "stopping"})
        self._stopping = sorted({child.program.stop_order for child in self._children})
        self._stop_group()

    def _stop_next(self) -> None:
        while self._stopping and not any(child.pid for child in self._group()):
            self._stopping = self._stopping[1:]
            self._stop_group()
        if self._kill_at is not None and time.monotonic() >= self._kill_at:
            self._kill_at = time.monotonic() + 1.0
            self._signal_group(signal.SIGKILL)

    def _stop_group(self) -> None:
        self._kill_at = time.monotonic() + self._plan.drain_seconds + _MARGIN_SECONDS
        self._signal_group(signal.SIGTERM)

    def _group(self) -> list[_Child]:
        return [child for child in self._children if child.program.stop_order in self._stopping[:1]]

    def _signal_group(self, number: signal.Signals) -> None:
        for child in self._group():
            _signal(child, number)

    def _signal_all(self, number: signal.Signals) -> None:
        for child in self._children:
            _signal(child, number)

    # Telling

    def _tell(self, event: str, child: _Child, **what: Any) -> None:
        self._publish({"services": {c.program.name: _state(c) for c in self._children}})
        self._announce({"event": event, "service": child.program.name, **what})


def _signal(child: _Child, number: signal.Signals) -> None:
    # Its pid cannot be somebody else's: a child keeps it until we have reaped it.
    if child.pid is not None:
        os.kill(child.pid, number)


def _state(child: _Child) -> dict[str, Any]:
    started = time.time() - (time.monotonic() - child.started)
    return {"pid": child.pid, "restarts": child.restarts, "address": child.program.address, "started": started}


def _in_words(code: int) -> str:
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"


def _spawn(plan: Plan, program: Program) -> int:
    parent = os.getpid()

    def become_child() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        linux.die_with_parent(parent)

    log = logs.open_log(plan.logs_dir, program.name)
    try:
        process = subprocess.Popen(
            program.argv,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            env={**os.environ, **plan.environment},
            preexec_fn=become_child,  # safe: this process has one thread
        )
    finally:
        os.close(log)
    process.returncode = 0  # reaped by the loop; Popen must neither wait for it nor complain
    return process.pid
