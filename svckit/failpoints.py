"""Named places where a test may have the process die or wait. Inert unless PROTOSTAR_FAILPOINTS is set.

    PROTOSTAR_FAILPOINTS="compute.launch.before=kill;image.fetch.inside=sleep:5;compute.define.after=raise"

`kill` is SIGKILL to this process at exactly that point; `sleep:S` waits S seconds; `raise` raises Internal. A point
given as NAME@FILE fires only while FILE exists and removes it first, so that it fires once across restarts.
"""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

from svckit.errors import Internal


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
    if once is not None and not _take(once):
        return
    if action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif action.startswith("sleep:"):
        await asyncio.sleep(float(action.removeprefix("sleep:")))
    elif action == "raise":
        raise Internal(f"failpoint {name}", reason="FAILPOINT")


def _take(once: Path) -> bool:
    try:
        once.unlink()
    except FileNotFoundError:
        return False
    return True
