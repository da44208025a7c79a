"""One supervisor per data directory: who holds the lock is the one, and the file says where to find him."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from svckit.files import write_atomically

_LOCK = "run/supervisor.lock"
_STATE = "run/supervisor.json"


class AlreadyRunning(Exception):
    """Somebody else holds the lock; `holder` is what he wrote, empty when he has not yet."""

    def __init__(self, holder: Mapping[str, Any]) -> None:
        super().__init__("a supervisor is already running on this data directory")
        self.holder = holder


def acquire(data_dir: Path, record: Mapping[str, Any]) -> int:
    """Take the lock, held until this process ends, and write who we are.

    :raise AlreadyRunning: it is taken.
    """
    path = data_dir / _LOCK
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    if not _try_hard(descriptor):
        os.close(descriptor)
        raise AlreadyRunning(_read(path))
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(record).encode(), 0)
    return descriptor


def holder(data_dir: Path) -> dict[str, Any] | None:
    """What the running supervisor of this data directory says of itself; None when there is none."""
    path = data_dir / _LOCK
    with contextlib.suppress(OSError), path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _read(path)
    return None


def write_state(data_dir: Path, state: Mapping[str, Any]) -> None:
    """Publish how the services are."""
    write_atomically(data_dir / _STATE, json.dumps(state).encode(), durable=False, mode=0o644)


def read_state(data_dir: Path) -> dict[str, Any]:
    """How the services were when the supervisor last wrote; empty when it never did."""
    return _read(data_dir / _STATE)


def _try_hard(descriptor: int) -> bool:
    # `holder` takes a shared lock for an instant; that must not be mistaken for a supervisor.
    for _ in range(10):
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        time.sleep(0.02)
    return False


def _read(path: Path) -> dict[str, Any]:
    with contextlib.suppress(OSError, ValueError):
        content = json.loads(path.read_text())
        return content if isinstance(content, dict) else {}
    return {}
