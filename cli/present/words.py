"""Durations, sizes, ages and enum values in words. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_]?)")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """Text that somebody else wrote, without what would make a terminal do anything but print it."""
    return _CONTROLS.sub("", _ESCAPES.sub("", text))


def duration(seconds: float) -> str:
    """About three figures: 740 µs, 12 ms, 1.24 s, 3 min 5 s."""
    if seconds < 0.001:
        return f"{max(seconds, 0) * 1e6:.0f} µs"
    if seconds < 1:
        return f"{seconds * 1e3:.0f} ms" if seconds >= 0.01 else f"{seconds * 1e3:.1f} ms"
    if seconds < 60:
        return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.1f} s"
    return long_duration(int(seconds))


def long_duration(seconds: int) -> str:
    """The two largest units: 3 min 5 s, 2 h 10 min, 4 d 3 h."""
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if days:
        return f"{days} d {hours % 24} h"
    if hours:
        return f"{hours} h {minutes % 60} min"
    return f"{minutes} min {seconds % 60} s" if minutes else f"{seconds} s"


def size(count: int) -> str:
    """Bytes, in binary units."""
    amount = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" or amount >= 100 else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"


def enum(message: Any, field: str) -> str:
    """An enum field's value as people say it: VM_STATE_ACTIVE is ACTIVE; unset is empty."""
    kind = message.DESCRIPTOR.fields_by_name[field].enum_type
    known = kind.values_by_number.get(getattr(message, field))
    prefix = kind.values_by_number[0].name.removesuffix("UNSPECIFIED")
    word = known.name.removeprefix(prefix) if known else str(getattr(message, field))
    return "" if word == "UNSPECIFIED" else word


def seconds_of(stamp: Timestamp) -> float:
    """Seconds since the epoch."""
    return float(stamp.seconds) + stamp.nanos / 1e9


def age(stamp: Timestamp, now: float) -> str:
    """How long ago; empty when never."""
    return long_duration(max(0, int(now - seconds_of(stamp)))) if stamp.seconds else ""


def moment(stamp: Timestamp) -> str:
    """When, in UTC, to the second; empty when never."""
    return f"{datetime.fromtimestamp(stamp.seconds, UTC):%Y-%m-%d %H:%M:%S} UTC" if stamp.seconds else ""


def uid(name: str) -> str:
    """The last part of a resource name."""
    return name.rpartition("/")[2]


def count(number: int, noun: str) -> str:
    """1 guest, 2 guests."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
