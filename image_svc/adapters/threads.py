"""Blocking calls in threads; cancellation never leaves one at work on a file that is being closed or removed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


async def in_thread(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """`asyncio.to_thread`, but a cancelled caller waits until the thread is done, and is cancelled then.

    For calls that are short: a chunk, an fsync, a rename.
    """
    return await acquired_in_thread(_forget, call, *args, **kwargs)


async def acquired_in_thread(
    release: Callable[[T], object], call: Callable[P, T], *args: P.args, **kwargs: P.kwargs
) -> T:
    """`in_thread` for a call that answers something to be closed: if the caller is cancelled, `release` gets it."""
    work = asyncio.ensure_future(asyncio.to_thread(call, *args, **kwargs))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.wait([work])
        if not work.cancelled() and work.exception() is None:
            await asyncio.to_thread(release, work.result())
        raise


def _forget(_result: object) -> None:
    pass
