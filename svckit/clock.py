"""Time as a value that is passed in."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]


def utcnow() -> datetime:
    """Now, with its time zone. The `Clock` of production."""
    return datetime.now(UTC)
