"""Inspection of untrusted files, by a child process under limits."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from image_svc.adapters.os_errors import storage_errors
from image_svc.adapters.threads import in_thread
from image_svc.domain.acceptance import HEAD_BYTES, Inspection
from image_svc.domain.refusals import image_unacceptable
from svckit.errors import DeadlineExceeded, Internal
from svckit.process import Limits, run


class ChildInspector:
    """`ports.Inspector`."""

    def __init__(self, *, seconds: float, limits: Limits) -> None:
        self._seconds = seconds
        self._limits = limits

    async def inspect(self, path: str) -> Inspection:
        """See ports.Inspector."""
        with storage_errors(path):
            size, head = await in_thread(_beginning, Path(path))
        report = json.loads(await self._report(path))
        return Inspection(
            file_bytes=size,
            head=head,
            contents=report["contents"],
            violations=report["violations"],
            virtual_sizes=report["virtual_sizes"],
        )

    async def _report(self, path: str) -> bytes:
        child = [sys.executable, "-P", "-m", "image_svc.adapters.inspection_child", path]
        try:
            return await run(child, seconds=self._seconds, limits=self._limits)
        except DeadlineExceeded as error:
            raise image_unacceptable(f"its inspection did not end within {self._seconds:g} s") from error
        except Internal as error:
            if not error.metadata.get("status", "").startswith("-"):
                raise  # it was not killed by a limit: something is wrong with us
            raise image_unacceptable("its inspection needs more time or memory than it may have") from error


def _beginning(path: Path) -> tuple[int, bytes]:
    with path.open("rb") as file:
        return path.stat().st_size, file.read(HEAD_BYTES)
