"""Time as a value that is passed in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from time import monotonic

Clock = Callable[[], datetime]
# No clock is ahead of another by so much: what says more was written before the clock was set back.
LONGEST_AHEAD = timedelta(minutes=1)


def utcnow() -> datetime:
    """Now, with its time zone. The `Clock` of production."""
    return datetime.now(UTC)


def lead(clock: Clock) -> float:
    """Seconds by which the time of day leads steady time. It stays the same for as long as nobody sets the clock."""
    return clock().timestamp() - monotonic()


@dataclass(frozen=True, slots=True)
class Window:
    """Moments that count as lately. One far ahead of now does not: it was written before the clock was set back."""

    first: datetime
    last: datetime

    @classmethod
    def lately(cls, now: datetime, length: timedelta) -> Window:
        """From so long ago until now, or what other clocks may call now."""
        return cls(now - length, now + LONGEST_AHEAD)

    def __contains__(self, moment: datetime) -> bool:
        return self.first <= moment <= self.last
