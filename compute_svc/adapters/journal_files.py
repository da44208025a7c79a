"""Journals as files: instances_path/_journal/<uid>.json, one JSON document per line, of which the last whole one
counts.

A line is appended before each act, and synced at the claim only: the claim is what has to survive power loss (fencing),
and after power loss no guest runs and every step measures before it acts. Appending never rewrites what was synced, so
a torn last line costs itself and nothing else. Once the work has ended the file is rewritten as one line, durably.
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import msgspec
import structlog

from compute_svc.adapters import journal_json
from compute_svc.domain.journal import Journal
from svckit.errors import Internal, ProtostarError, ResourceExhausted
from svckit.files import sync_folder, write_atomically

T = TypeVar("T")
log = structlog.get_logger(__name__)

_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})


class JournalFiles:
    """See ports.Journals. This process is the only writer, so what was written is also remembered."""

    def __init__(self, instances_path: Path, threads: int = 8) -> None:
        self._folder = instances_path / "_journal"
        for torn in self._folder.glob(".*.new"):  # its writer died with the process before this one
            torn.unlink(missing_ok=True)
        self._newest: dict[str, Journal] = {}
        self._unsynced_names: set[str] = set()
        # Threads of our own: a disk that hangs must not take asyncio's, which resolve names and more.
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="journal")

    async def read(self, uid: str) -> Journal | None:
        if uid not in self._newest:
            found = await self._in_thread(lambda: _read(self._path(uid)))
            if found is not None:
                self._newest.setdefault(uid, found)
        return self._newest.get(uid)

    async def append(self, journal: Journal) -> None:
        await self._in_thread(lambda: self._append(journal))
        self._newest[journal.uid] = journal

    async def sync(self, uid: str) -> None:
        await self._in_thread(lambda: self._sync(uid))

    async def settle(self, uid: str) -> None:
        newest = self._newest.get(uid)
        if newest is not None:
            await self._in_thread(lambda: write_atomically(self._path(uid), _line(newest)))

    async def sweep(self, now: datetime) -> list[str]:
        return await self._in_thread(lambda: self._sweep(now))

    def close(self) -> None:
        """Take no more; what hangs is left behind."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _path(self, uid: str) -> Path:
        return self._folder / f"{uid}.json"

    async def _in_thread(self, function: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, function)
        except OSError as error:
            raise _translated(error) from error

    # --- in a thread ---

    def _append(self, journal: Journal) -> None:
        path = self._path(journal.uid)
        descriptor = self._open(path)
        try:
            before = os.fstat(descriptor).st_size
            line = b"\n" + _line(journal)  # a torn line before it must not spoil this one
            if os.write(descriptor, line) != len(line):
                os.ftruncate(descriptor, before)
                raise OSError(errno.ENOSPC, "the journal was written in part", str(path))
        finally:
            os.close(descriptor)

    def _open(self, path: Path) -> int:
        try:
            return os.open(path, os.O_WRONLY | os.O_APPEND)
        except FileNotFoundError:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._unsynced_names.add(path.stem)
            return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def _sync(self, uid: str) -> None:
        descriptor = os.open(self._path(uid), os.O_RDONLY)
        try:
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)
        if uid in self._unsynced_names:
            sync_folder(self._folder)
            self._unsynced_names.discard(uid)

    def _sweep(self, now: datetime) -> list[str]:
        unsettled = []
        for path in sorted(self._folder.glob("*.json")):
            journal = _read(path)
            if journal is None:
                continue
            if journal.expired(now):
                path.unlink(missing_ok=True)
            elif not journal.settled:
                unsettled.append(journal.uid)
        return unsettled


def _line(journal: Journal) -> bytes:
    return journal_json.encode(journal) + b"\n"


def _read(path: Path) -> Journal | None:
    """The last line that is whole. A file without any is of a claim that power loss tore: nothing was done after it."""
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return None
    for line in filter(None, reversed(lines)):
        try:
            return journal_json.decode(line)
        except msgspec.MsgspecError:
            log.warning("journal_line_torn", path=str(path))
    return None


def _translated(error: OSError) -> ProtostarError:
    if error.errno in _NO_SPACE:
        return ResourceExhausted(
            f"no space left for the journal at {error.filename}; free some on that file system", reason="NO_SPACE"
        )
    return Internal(
        f"the journal cannot be written or read: {error}; look at the file system of instances_path",
        reason="JOURNAL_UNUSABLE",
    )
