"""The four services with every failpoint armed to hold, and somebody who kills, stops and brings them back."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.chaos import points
from tests.stack import SERVICES, Stack

ALL = SERVICES
_HELD_SECONDS = 30.0


@dataclass
class Arena(Stack):
    """A stack that is meant to be broken. `heavy_steps` is for compute_svc, 0 for its own default.

    By default there is room for every instance of a wave to stand at a heavy step at once.
    """

    heavy_steps: int = 32

    def environment(self) -> dict[str, str]:
        self._points.mkdir(parents=True, exist_ok=True)
        failpoints = ";".join(f"{name}@{self._points / name}=hold" for name in sorted(points.known()))
        room = {"PROTOSTAR_HEAVY_STEPS": str(self.heavy_steps)} if self.heavy_steps else {}
        return {**super().environment(), **room, "PROTOSTAR_FAILPOINTS": failpoints}

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.folder / "data"

    @property
    def _points(self) -> Path:
        return self.folder / "points"

    # --- failpoints ---

    def arm(self, point: str) -> None:
        """Have the next one who passes stand still."""
        assert point in points.known(), point
        (self._points / f"{point}.held").unlink(missing_ok=True)  # of somebody who was cancelled there
        (self._points / point).touch()

    def is_held(self, point: str) -> bool:
        """Whether somebody stands there."""
        return (self._points / f"{point}.held").exists()

    def wait_until_held(self, point: str, accepted: Future[Any] | None = None) -> None:
        """Until somebody stands there; fails when `accepted` was refused instead."""
        deadline = time.monotonic() + _HELD_SECONDS
        while not self.is_held(point):
            if accepted is not None and accepted.done() and accepted.exception() is not None:
                accepted.result()
            assert time.monotonic() < deadline, f"nobody came to {point}"
            time.sleep(0.003)

    def release(self) -> None:
        """Let everybody go on, and disarm every point."""
        for path in self._points.iterdir():
            path.unlink(missing_ok=True)

    # --- services ---

    def fell(self, names: Iterable[str]) -> None:
        """SIGKILL to all of them in one go."""
        victims = [self.processes.pop(name) for name in names]
        for process in victims:
            process.kill()
        for process in victims:
            process.wait(30)

    def revive(self, names: Iterable[str]) -> None:
        """Start them again and wait until they serve."""
        self.launch(*names)
        for name in names:
            self.wait_until_serving(name)

    def freeze(self, name: str) -> None:
        """SIGSTOP: it is there, keeps its sockets, and does nothing: what a hung host looks like."""
        self.processes[name].send_signal(signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        """SIGCONT."""
        self.processes[name].send_signal(signal.SIGCONT)

    def fallen(self) -> list[str]:
        """Services that died without being told to."""
        return [name for name, process in self.processes.items() if process.poll() is not None]

    def complaints(self) -> list[str]:
        """What the services logged as errors, newest last; for the message of a test that failed."""
        return [line[:3000] for name in SERVICES for line in self._loud(name)[-5:]]

    def _loud(self, name: str) -> list[str]:
        lines = self.log(name).read_text().splitlines()
        return [f"{name}: {line}" for line in lines if '"level": "error"' in line or line.startswith("Traceback")]

    def close(self) -> None:
        for process in self.processes.values():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGCONT)
        self.release()
        super().close()
