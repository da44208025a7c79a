"""qemu-img, a function a subcommand. The format is always named, its run always limited, its JSON checked."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from image_svc.adapters.threads import in_thread
from image_svc.domain.acceptance import QemuInfo
from image_svc.domain.refusals import disk_unsound, image_unacceptable, no_space
from svckit.errors import DeadlineExceeded, Internal
from svckit.process import Limits, run

# qemu-img prints strerror(3), in English whatever the locale, and has no other way to tell.
_FULL = ("No space left on device", "Disk quota exceeded", "File too large")
_LEAKS_ONLY = "3"


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What a run of qemu-img may take: a short one, and one that reads or writes a whole image."""

    short: Limits
    short_seconds: float
    long: Limits
    long_seconds: float


class QemuImg:
    """`ports.DiskTools`."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._direct_io: dict[str, bool] = {}

    async def info(self, path: str, qemu_format: str) -> QemuInfo:
        """See ports.DiskTools."""
        with _refusing(path):
            answer = await self._short("info", "-f", qemu_format, "--output=json", path)
        return _info_from(json.loads(answer))

    async def check(self, path: str) -> None:
        """See ports.DiskTools. Leaked clusters waste space and harm nothing."""
        with _refusing(path):
            try:
                await self._short("check", "-f", "qcow2", "--output=json", path)
            except Internal as error:
                if error.metadata.get("status") != _LEAKS_ONLY:
                    raise

    async def convert_to_raw(self, source: str, qemu_format: str, target: str) -> None:
        """See ports.DiskTools. Holes stay holes; the page cache is left to the guests where the file system lets us."""
        cache = "none" if await self._has_direct_io(str(Path(target).parent)) else "writeback"
        budget = self._budget
        argv = ["qemu-img", "convert", "-f", qemu_format, "-O", "raw", "-t", cache, source, target]
        with _full(target):
            await run(argv, seconds=budget.long_seconds, limits=budget.long)

    async def create_overlay(self, path: str, backing: str, size_bytes: int) -> None:
        """See ports.DiskTools."""
        with _full(path):
            await self._short("create", "-q", "-f", "qcow2", "-F", "raw", "-b", backing, path, str(size_bytes))

    async def grow(self, path: str, size_bytes: int) -> None:
        """See ports.DiskTools."""
        try:
            with _full(path):
                await self._short("resize", "-q", "-f", "qcow2", path, str(size_bytes))
        except Internal as error:
            why = f"cannot be grown to {size_bytes} bytes: {error.metadata.get('stderr', '')}"
            raise disk_unsound(path, why, "stop what uses it, or repair it, then retry") from error

    async def _short(self, *arguments: str) -> bytes:
        budget = self._budget
        return await run(["qemu-img", *arguments], seconds=budget.short_seconds, limits=budget.short)

    async def _has_direct_io(self, folder: str) -> bool:
        if folder not in self._direct_io:
            self._direct_io[folder] = await in_thread(_opens_directly, folder)
        return self._direct_io[folder]


@contextlib.contextmanager
def _full(path: str) -> Iterator[None]:
    try:
        yield
    except Internal as error:
        too_large = error.metadata.get("status") == str(-signal.SIGXFSZ)
        if too_large or any(text in error.metadata.get("stderr", "") for text in _FULL):
            raise no_space(path) from error
        raise


@contextlib.contextmanager
def _refusing(path: str) -> Iterator[None]:
    """Whatever qemu-img has against an untrusted file is a reason to refuse the file."""
    try:
        yield
    except Internal as error:
        why = error.metadata.get("stderr", "").replace(path, "the file").replace("qemu-img: ", "")
        raise image_unacceptable(
            f"qemu-img cannot use it: {why or 'it needs more time or memory than it may'}"
        ) from error
    except DeadlineExceeded as error:
        raise image_unacceptable(f"qemu-img cannot use it: {error.message}") from error


def _info_from(answer: object) -> QemuInfo:
    if not isinstance(answer, dict) or not isinstance(answer.get("virtual-size"), int):
        raise image_unacceptable("qemu-img tells nothing of its size")
    specific = answer.get("format-specific", {}).get("data", {})
    return QemuInfo(
        format=str(answer.get("format")),
        virtual_size_bytes=answer["virtual-size"],
        backing_file=str(answer.get("backing-filename", "")),
        data_file=str(specific.get("data-file", "")),
        is_encrypted=bool(answer.get("encrypted", False)),
    )


def _opens_directly(folder: str) -> bool:
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".direct-io-") as probe:
            os.close(os.open(probe.name, os.O_RDWR | os.O_DIRECT | os.O_CLOEXEC))
    except OSError:
        return False
    return True
