"""Which command may work at which instance: one piece of work at a time, fenced by generation.

Recovery needs next to nothing of its own. At start-up nothing is resumed or undone, only tidied up: the journal says
what was interrupted, and api_svc, whose lease on the operation has not ended, sends the same command again, which is
resumed where it stood; or it sends a newer one, which brings the interrupted work to its end first. So there is one
path for a broken stream, a crash of this service and a boot of the host, and nothing is done for an operation that its
owner has given up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace
from weakref import WeakValueDictionary

import structlog

from compute_svc.domain.journal import Admission, Command, Phase, Seen, Standing, admit, seen
from compute_svc.domain.results import Result
from compute_svc.domain.steps import Verb
from compute_svc.ports import Journals
from compute_svc.usecases import undoing
from compute_svc.usecases.host import Host
from compute_svc.usecases.progress import Progress
from compute_svc.usecases.run import Run
from compute_svc.usecases.work import Procedure, Work
from svckit.errors import Cancelled, ProtostarError, Unavailable

log = structlog.get_logger(__name__)

# An interrupted operation that is cancelled has no caller who said how long it may take.
_CANCEL_SECONDS = 60.0


class Works:
    """The work in hand on this host. `on_end` is told the instance whenever its work has ended, or is said to have."""

    def __init__(self, journals: Journals, host: Host, on_end: Callable[[str], None] = lambda uid: None) -> None:
        self._journals = journals
        self._host = host
        self._on_end = on_end
        self._newest: dict[str, Work] = {}
        self._doors: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._draining = False

    def busy(self, uid: str) -> bool:
        """Whether something is being done at this instance."""
        return uid in self._newest

    async def perform(self, verb: Verb, uid: str, command: Command, procedure: Procedure) -> Progress:
        """Begin, join, resume or answer, whatever the command amounts to; follow what is returned.

        :raise Aborted: STALE_GENERATION.
        :raise Unavailable: DRAINING, this host takes no more work.
        """
        if self._draining:
            raise Unavailable("this host is shutting down; send the same operation again", reason="DRAINING")
        async with self._door(uid):
            running = self._newest.get(uid)
            journal = None if running else await self._journals.read(uid)
            match admit(_of(running) if running else seen(journal), command):
                case Admission.JOIN if running:
                    return running.progress
                case Admission.ANSWER if journal:
                    # The answer says how the guest was then; how it is now is told as well.
                    self._on_end(uid)
                    return Progress.of(journal)
                case Admission.SUPERSEDE if running:
                    running.supersede(command)
            work = Work(
                verb=verb, uid=uid, command=command, procedure=procedure, journals=self._journals, host=self._host
            )
            self._begin(work, running)
            return work.progress

    async def cancel(self, uid: str, operation: str) -> bool:
        """Ask an operation to stop and undo; whether it was there to be asked.

        One that was interrupted by a crash is undone now: else what it did would stay until somebody sent it again.
        """
        async with self._door(uid):
            running = self._newest.get(uid)
            if running is not None:
                if running.command.operation != operation:
                    return False
                running.interrupt(_cancelled(operation))
                return True
            return await self._cancel_interrupted(uid, operation)

    async def drain(self, seconds: float) -> None:
        """Take no more work, wait for what is in hand, then hand back what has not ended."""
        self._draining = True
        if not self._newest:
            return
        waiting = [asyncio.ensure_future(work.ended.wait()) for work in self._newest.values()]
        await asyncio.wait(waiting, timeout=seconds)
        left = list(self._newest.values())
        for work in left:
            log.warning("work_handed_back", verb=work.verb, instance=work.uid, operation=work.command.operation)
        await asyncio.gather(*(work.hand_back() for work in left))

    async def tidy(self, uids: Iterable[str]) -> None:
        """Let go of what work that has ended had kept: a crash came between its end and its settling."""
        for uid in uids:
            async with self._door(uid):
                journal = await self._journals.read(uid)
                if uid in self._newest or journal is None or journal.phase is not Phase.ENDED:
                    continue
                await undoing.forget(uid, self._host)
                await self._journals.append(replace(journal, undo=(), launch=None))
                await self._journals.settle(uid)

    async def _cancel_interrupted(self, uid: str, operation: str) -> bool:
        journal = await self._journals.read(uid)
        newest = seen(journal)
        if journal is None or newest is None or newest.operation != operation:
            return False
        if newest.standing is not Standing.INTERRUPTED:
            return False
        command = Command(
            operation=operation, generation=newest.generation, attempt=journal.attempt, seconds=_CANCEL_SECONDS
        )
        work = Work(
            verb=journal.verb, uid=uid, command=command, procedure=_nothing, journals=self._journals, host=self._host
        )
        work.interrupt(_cancelled(operation))
        self._begin(work, None)
        return True

    def _begin(self, work: Work, predecessor: Work | None) -> None:
        self._newest[work.uid] = work
        work.begin(predecessor, self._ended)

    def _ended(self, work: Work) -> None:
        if self._newest.get(work.uid) is work:
            del self._newest[work.uid]
            self._on_end(work.uid)

    def _door(self, uid: str) -> asyncio.Lock:
        return self._doors.setdefault(uid, asyncio.Lock())


def _of(work: Work) -> Seen:
    return Seen(operation=work.command.operation, generation=work.command.generation, standing=Standing.RUNNING)


def _cancelled(operation: str) -> ProtostarError:
    return Cancelled(f"operation {operation} was cancelled", metadata={"operation": operation})


async def _nothing(run: Run) -> Result:
    raise AssertionError("cancelled work is not done")
