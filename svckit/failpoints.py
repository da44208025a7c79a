"""Named places where a test may have the process die or wait. Inert unless PROTOSTAR_FAILPOINTS is set.

    PROTOSTAR_FAILPOINTS="compute.launch.before=kill;image.fetch.inside=sleep:5;compute.define.after=raise"

`kill` is SIGKILL to this process at exactly that point; `sleep:S` waits S seconds; `raise` raises Internal. A point
given as NAME@FILE fires only while FILE exists and removes it first, so that it fires once across restarts.
NAME@FILE=hold renames FILE to FILE.held and stays at the point until that is gone: whoever made FILE sees when the
point is reached, does then what he wants to whatever process he wants, and lets go.
"""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

from svckit.errors import Internal

_LOOK_SECONDS = 0.01


def _parse(text: str) -> dict[str, tuple[str, Path | None]]:
    points: dict[str, tuple[str, Path | None]] = {}
    for part in filter(None, text.split(";")):
        place, _, action = part.partition("=")
        name, _, once = place.partition("@")
        points[name] = (action, Path(once) if once else None)
    return points


_POINTS = _parse(os.environ.get("PROTOSTAR_FAILPOINTS", ""))


async def failpoint(name: str) -> None:
    """Do what PROTOSTAR_FAILPOINTS asks for at the point of this name: nothing, as a rule."""
    if not _POINTS or name not in _POINTS:
        return
    action, once = _POINTS[name]
    if action == "hold" and once is not None:
        await _hold(once)
    elif once is not None and not _take(once):
        return
    elif action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif action.startswith("sleep:"):
        await asyncio.sleep(float(action.removeprefix("sleep:")))
    elif action == "raise":
        raise Internal(f"failpoint {name}", reason="FAILPOINT")


async def _hold(once: Path) -> None:
    held = f"{once}.held"
    if _renamed(once, held):
        while os.path.exists(held):  # noqa: ASYNC110, ASYNC240, PTH110  (a test waits here, nobody else)
            await asyncio.sleep(_LOOK_SECONDS)


def _renamed(once: Path, held: str) -> bool:
    try:
        once.rename(held)
    except FileNotFoundError:
        return False
    return True


def _take(once: Path) -> bool:
    try:
        once.unlink()
    except FileNotFoundError:
        return False
    return True
