"""Waiting for a peer that is away: as long as there is time, with backoff, and telling so."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from compute_svc.usecases.run import Run, RunningStep
from svckit.errors import Unavailable

T = TypeVar("T")

_FIRST, _LONGEST = 0.1, 2.0


async def patiently(run: Run, step: RunningStep, peer: str, call: Callable[[float], Awaitable[T]]) -> T:
    """Make a call that may be repeated, until it gets through; `call` is given the seconds that are left.

    :raise Unavailable: the peer was still away when time ran out.
    """
    delay = _FIRST
    while True:
        try:
            answer = await call(run.remaining())
        except Unavailable:
            step.waiting_for(peer)
            pause = delay * random.uniform(0.5, 1.0)
            if run.remaining() <= pause:
                raise
            await asyncio.sleep(pause)
            delay = min(2 * delay, _LONGEST)
        else:
            step.waiting_for("")
            return answer
