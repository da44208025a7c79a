"""Which part of a console is new. Pure."""

from __future__ import annotations

_PROBE = 64


def unseen(previous: str, current: str) -> str:
    """What `current` has beyond `previous`, both being the last so many characters of a text that grows.

    When they have nothing in common, everything is new.
    """
    if current.startswith(previous):
        return current[len(previous) :]
    probe = current[:_PROBE]
    begin = previous.find(probe) if probe else -1
    while begin >= 0:
        shared = len(previous) - begin
        if previous[begin:] == current[:shared]:
            return current[shared:]
        begin = previous.find(probe, begin + 1)
    return _after_tail(previous, current)


def _after_tail(previous: str, current: str) -> str:
    """`current` reaches back further than `previous`, or the first character was cut in half between two answers."""
    tail = previous[-1024:]
    place = current.rfind(tail) if tail else -1
    return current[place + len(tail) :] if place >= 0 else current
