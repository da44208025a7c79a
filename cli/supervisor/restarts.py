"""When a program that ended is started again. Pure."""

from __future__ import annotations

STABLE_SECONDS = 10.0
LONGEST_SECONDS = 30.0


def delay(failures: int) -> float:
    """Seconds before the next start after so many failures in a row: at once at first, then ever more patiently."""
    if failures <= 1:
        return 0.1
    return float(min(0.5 * 2 ** min(failures - 2, 16), LONGEST_SECONDS))


def failures_after(failures: int, lived: float) -> int:
    """Failures in a row, once a program that `lived` so many seconds has ended: a long life clears its record."""
    return 1 if lived >= STABLE_SECONDS else failures + 1
