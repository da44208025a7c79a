"""Taking back what was done: from the journal, so that it works the same after a crash."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial

import structlog

from compute_svc.domain import undo as undos
from compute_svc.domain.steps import StepState
from compute_svc.usecases.host import Host
from compute_svc.usecases.run import Run
from svckit import tracing
from svckit.errors import ProtostarError, Unavailable
from svckit.failpoints import failpoint

log = structlog.get_logger(__name__)

# Undoing has time of its own: it may begin when the operation's is up.
SECONDS = 30.0
CONFIG_DRIVE = "disk.config"


@dataclass
class Undone:
    """Steps that were taken back, and what could not be, in words."""

    steps: list[str]
    leftovers: list[str]


async def undo(run: Run, host: Host) -> Undone:
    """Take back what the work's journal says was done, last first; what cannot be undone is named, and the rest still
    is.
    """
    outcome = Undone([], [])
    until = asyncio.get_running_loop().time() + SECONDS
    for entry in reversed(run.journal.undo):
        try:
            with tracing.span(f"undo {entry.step}", run.attributes(entry.step)):
                await failpoint(f"compute.{run.journal.verb}.{entry.step}.undo")
                await _persistently(partial(_perform, entry, run, host, until), until)
        except ProtostarError as error:
            log.warning("undo_failed", step=entry.step, error=error.message)
            outcome.leftovers.append(_leftover(entry))
            continue
        outcome.steps.append(entry.step)
        _tell(run, entry)
        await run.write(undo=tuple(known for known in run.journal.undo if known != entry))
    return outcome


async def forget(uid: str, host: Host) -> None:
    """Let go of what was kept only in order to undo, also if a crash came before the journal knew of it."""
    await host.folders.drop_kept(uid, CONFIG_DRIVE)


async def _perform(entry: undos.Undo, run: Run, host: Host, until: float) -> None:
    uid, hypervisor = run.uid, host.hypervisor
    match entry:
        case undos.DestroyGuest():
            await hypervisor.destroy(uid)
        case undos.RestoreDefinition(xml=None, first=first):
            await hypervisor.undefine(uid, keep_state=not first)
        case undos.RestoreDefinition(xml=str(xml)):
            await hypervisor.define(uid, xml)
        case undos.RestoreConfigDrive():
            await host.folders.restore(uid, CONFIG_DRIVE)
        case undos.RemoveDisks(names=names):
            await host.disks.remove(uid, names, max(0.1, until - asyncio.get_running_loop().time()))
        case undos.RemoveFolder():
            await host.folders.remove(uid)


async def _persistently(perform: Callable[[], Awaitable[None]], until: float) -> None:
    """Again while a peer or libvirt is away: that may be the very reason why we undo.

    :raise Unavailable: time is up.
    """
    try:
        async with asyncio.timeout_at(until):
            while True:
                try:
                    return await perform()
                except Unavailable as error:
                    log.info("undo_waits", error=error.message)
                    await asyncio.sleep(0.5)
    except TimeoutError:
        raise Unavailable("undoing took too long") from None


def _tell(run: Run, entry: undos.Undo) -> None:
    for name in ("undefine", "define") if isinstance(entry, undos.RestoreDefinition) else (entry.step,):
        step = next((known for known in run.progress.steps if known.name == name), None)
        if step is not None and step.state in (StepState.DONE, StepState.FAILED, StepState.RUNNING):
            ended_at = max(step.started_at, run.clock())
            run.progress.put(replace(step, state=StepState.UNDONE, ended_at=ended_at))


def _leftover(entry: undos.Undo) -> str:
    match entry:
        case undos.DestroyGuest():
            return "a guest that may be running"
        case undos.RestoreDefinition():
            return "the domain's new definition"
        case undos.RestoreConfigDrive():
            return "the new config drive"
        case undos.RemoveDisks(names=names):
            return "disks " + " ".join(names)
        case undos.RemoveFolder():
            return "the instance's folder"
