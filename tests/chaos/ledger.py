"""What was acknowledged to clients, and what became of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from google.longrunning import operations_pb2


@dataclass
class Ledger:
    """Written by many threads."""

    accepted: dict[str, str] = field(default_factory=dict)
    unexpected: list[str] = field(default_factory=list)
    recoveries: list[float] = field(default_factory=list)
    kills: int = 0
    freezes: int = 0
    _killed_at: float | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def acknowledge(self, what: str, operation: operations_pb2.Operation) -> None:
        """A client was told of an operation; told again by a repeated request, it counts once."""
        with self._lock:
            self.accepted[operation.name] = what

    def complain(self, what: str) -> None:
        """Something that should not have happened."""
        with self._lock:
            self.unexpected.append(what)

    def killed(self) -> None:
        """Something was killed just now."""
        with self._lock:
            self.kills += 1
            self._killed_at = time.monotonic()

    def froze(self) -> None:
        """Something was stopped just now; what ends meanwhile is no recovery."""
        with self._lock:
            self.freezes += 1

    def worked(self) -> None:
        """An operation has ended well just now: if there was a kill before, this is the recovery from it."""
        with self._lock:
            if self._killed_at is not None:
                self.recoveries.append(time.monotonic() - self._killed_at)
                self._killed_at = None

    @property
    def recovering(self) -> bool:
        """Whether nothing has ended well since the last kill."""
        return self._killed_at is not None


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a run comes to; `wrong` in words. `boots` were witnessed on consoles, which the test driver has none of."""

    backend: str
    seconds: float
    kills: int
    freezes: int
    boots: int
    accepted: int
    ended: int
    lost: int
    doubled: int
    stuck: int
    longest_recovery_s: float
    wrong: tuple[str, ...] = ()

    @property
    def well(self) -> bool:
        """Whether every promise was kept."""
        return not (self.lost or self.doubled or self.stuck or self.wrong or self.ended != self.accepted)


def total(results: Iterable[Result]) -> dict[str, float]:
    """The six numbers over all runs."""
    runs = list(results)
    summed = ("accepted", "ended", "lost", "doubled", "stuck")
    numbers: dict[str, float] = {name: sum(getattr(run, name) for run in runs) for name in summed}
    numbers["longest_recovery_s"] = round(max((run.longest_recovery_s for run in runs), default=0.0), 2)
    return numbers
