"""Which part of a console is new. Pure."""

from __future__ import annotations

_PROBE = 64


def unseen(previous: str, current: str) -> str:
    """What `current` has beyond `previous`, both being the last so many characters of a text that grows.

    When they have nothing in common, everything is new.
    """
    if current.startswith(previous):
        return current[len(previous) :]
    shared = _overlap(previous, current)
    return current[shared:] if shared else _after_tail(previous, current)


def _overlap(previous: str, current: str) -> int:
    """How long the longest beginning of `current` is that ends `previous`."""
    probe = current[:_PROBE]
    begin = previous.find(probe) if len(probe) == _PROBE else -1
    while begin >= 0:
        shared = len(previous) - begin
        if previous[begin:] == current[:shared]:
            return shared
        begin = previous.find(probe, begin + 1)
    short = range(min(len(probe), len(previous)), 0, -1)
    return next((shared for shared in short if previous.endswith(current[:shared])), 0)


def _after_tail(previous: str, current: str) -> str:
    """`current` reaches back further than `previous`, or its first character was cut in half."""
    tail = previous[-1024:]
    place = current.rfind(tail) if len(tail) >= _PROBE else -1  # less is found anywhere
    return current[place + len(tail) :] if place >= 0 else current
