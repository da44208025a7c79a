"""One piece of work at one instance: claim, do, undo if it has to be, end.

It is a task of the host. Nobody who follows it can end it by going away; it ends by itself, by its deadline, by being
cancelled or superseded, or it is handed back when the host drains.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import structlog

from compute_svc.domain.failure import Failure
from compute_svc.domain.journal import Command, Journal, Phase
from compute_svc.domain.results import Deleted, Result
from compute_svc.domain.steps import READING, StepState, Verb
from compute_svc.ports import LIBVIRT_AWAY, Journals
from compute_svc.usecases import undoing
from compute_svc.usecases.host import Host
from compute_svc.usecases.progress import Progress
from compute_svc.usecases.run import Run
from svckit.errors import Aborted, DeadlineExceeded, Internal, ProtostarError, Unavailable

log = structlog.get_logger(__name__)

Procedure = Callable[[Run], Awaitable[Result]]

# What is kept of an operation's time for undoing and for the way back.
_RESERVE, _RESERVE_SHARE = 5.0, 0.1
# How long the disk may take to confirm an end that everybody has already been told of.
_SETTLE_SECONDS = 10.0


class Work:
    """A piece of work, from the moment it is admitted."""

    def __init__(
        self, *, verb: Verb, uid: str, command: Command, procedure: Procedure, journals: Journals, host: Host
    ) -> None:
        self.verb = verb
        self.uid = uid
        self.command = command
        self.progress = Progress()
        self.ended = asyncio.Event()
        self._procedure = procedure
        self._journals = journals
        self._host = host
        self._verdict: ProtostarError | None = None
        self._queued = False
        self._doing: asyncio.Task[Result] | None = None
        self._task: asyncio.Task[None] | None = None

    def begin(self, predecessor: Work | None, on_end: Callable[[Work], None]) -> None:
        """Begin as soon as the work before it has ended; the time counts from now."""
        self._queued = predecessor is not None
        self._task = asyncio.create_task(self._live(predecessor), name=f"{self.verb} {self.uid}")
        self._task.add_done_callback(lambda _: on_end(self))

    def interrupt(self, verdict: ProtostarError) -> None:
        """End with this error, unless it is decided already how it ends."""
        if self._verdict is not None:
            return
        self._verdict = verdict
        verdict.metadata.setdefault("step", self.progress.current)
        if self._doing is not None:
            self._doing.cancel()
        elif self._queued:
            self.progress.fail(verdict)  # nothing was done, and the work before it may take a while to end

    def supersede(self, command: Command) -> None:
        """Make room for a newer command."""
        self.interrupt(
            Aborted(
                f"operation {command.operation} came later and took its place",
                reason="SUPERSEDED",
                metadata={"operation": command.operation, "generation": str(command.generation)},
            )
        )

    async def hand_back(self) -> None:
        """Stop where it is, undo nothing and end nothing: whoever sends the same operation again resumes it."""
        self.progress.fail(
            Unavailable(
                "this host is shutting down; send the same operation again",
                reason="DRAINING",
                metadata={"operation": self.command.operation},
                retry_after=1.0,
            )
        )
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task], timeout=1.0)

    async def _live(self, predecessor: Work | None) -> None:
        structlog.contextvars.bind_contextvars(operation=self.command.operation, instance=self.uid)
        now = asyncio.get_running_loop().time
        reserve = min(_RESERVE, self.command.seconds * _RESERVE_SHARE)
        until = now() + max(0.0, self.command.seconds - reserve)
        timer = asyncio.get_running_loop().call_at(until, self._time_is_up)
        try:
            if predecessor is not None:
                await predecessor.ended.wait()
            self._queued = False
            await self._work(until)
        except ProtostarError as error:
            self.progress.fail(error)
        except Exception as error:
            log.exception("work_failed", verb=self.verb)
            self.progress.fail(_bug(error))
        finally:
            timer.cancel()
            self.ended.set()

    def _time_is_up(self) -> None:
        step = self.progress.current
        self.interrupt(DeadlineExceeded(f"the operation's time was up at step {step}", metadata={"step": step}))

    async def _work(self, until: float) -> None:
        run = await self._claim(until)
        error, result = await self._attempt(run)
        if error is not None:
            await self._undo(run, error)
        await self._end(run, result, error)

    # --- claim ---

    async def _claim(self, until: float) -> Run:
        """Make the journal say that this is the newest work; nothing has been done before it does."""
        before = await self._journals.read(self.uid)
        if before is not None and before.phase is not Phase.ENDED and before.operation != self.command.operation:
            before = await self._conclude_interrupted(before)
        resumes = before is not None and before.operation == self.command.operation
        journal = self._resumed(before) if before and resumes else self._fresh(before)
        run = Run(journal, self.command, self.progress, self._journals, self._host.clock, until)
        async with run.step("claim") as step:
            step.note("taken up again where it was interrupted" if resumes else "")
            await run.write()
            run.sync_claim()
            await step.inside()
        return run

    def _resumed(self, before: Journal) -> Journal:
        for step in before.steps:
            self.progress.put(step)
        return replace(before, attempt=self.command.attempt)

    def _fresh(self, before: Journal | None) -> Journal:
        return Journal(
            uid=self.uid,
            generation=self.command.generation,
            operation=self.command.operation,
            verb=self.verb,
            attempt=self.command.attempt,
            updated_at=self._host.clock(),
            boots=before.boots if before else 0,
            applied=before.applied if before else 0,
        )

    async def _conclude_interrupted(self, before: Journal) -> Journal:
        """Bring work that a crash interrupted to its end, before newer work begins.

        A guest that it had launched may have been running for long, and may have been used: it and its disks are then
        left alone, and the newer work finds them as they are. Otherwise nothing ever ran, and what was prepared goes.
        """
        if before.launch is None:
            command = replace(self.command, operation=before.operation, generation=before.generation)
            old = Run(before, command, Progress(before.steps), self._journals, self._host.clock, 0.0)
            await undoing.undo(old, self._host)
            before = old.journal
        await undoing.forget(self.uid, self._host)
        log.info("interrupted_work_concluded", interrupted=before.operation, launched=before.launch is not None)
        return before

    # --- do ---

    async def _attempt(self, run: Run) -> tuple[ProtostarError | None, Result | None]:
        if run.journal.phase is Phase.UNDOING and run.journal.failure is not None:
            return run.journal.failure.error(), None
        if self._verdict is not None:
            return self._verdict, None
        self._doing = asyncio.create_task(self._do(run))
        try:
            return None, await self._doing
        except asyncio.CancelledError:
            if self._verdict is None:
                self._doing.cancel()
                raise
            return self._verdict, None
        except Exception as error:
            return self._verdict or _known(error), None

    async def _do(self, run: Run) -> Result:
        """The procedure; when libvirt goes away under it, again once libvirt is back, as after a crash of ours."""
        pause = 0.2
        while True:
            try:
                return await self._procedure(run)
            except Unavailable as error:
                if error.reason not in LIBVIRT_AWAY or run.remaining() <= pause:
                    raise
                log.warning("waiting_for_libvirt", error=error.message)
                run.waiting_for("libvirt")
            await asyncio.sleep(pause)
            pause = min(2 * pause, 2.0)

    # --- end ---

    async def _undo(self, run: Run, error: ProtostarError) -> None:
        error.metadata.setdefault("step", self.progress.current)
        await self._write(run, phase=Phase.UNDOING, failure=Failure.of(error))
        done = await undoing.undo(run, self._host)
        if done.leftovers:
            error.metadata["leftovers"] = ", ".join(done.leftovers)
        if done.steps:
            error.metadata["undone"] = ", ".join(done.steps)
        stays = [s.name for s in self.progress.steps if s.state is StepState.DONE and s.name not in READING]
        if stays:
            error.metadata["done"] = ", ".join(stays)

    async def _end(self, run: Run, result: Result | None, error: ProtostarError | None) -> None:
        failure = Failure.of(error) if error else None
        await self._write(
            run,
            phase=Phase.ENDED,
            result=result,
            failure=failure,
            applied=self.command.generation,
            deleted=isinstance(result, Deleted),
        )
        if error is not None:
            self.progress.fail(error)
        elif result is not None:
            self.progress.succeed(result)
        await self._settle(run)

    async def _write(self, run: Run, **changes: object) -> None:
        """A disk that cannot be written to must not keep the work from ending: what is told is true all the same."""
        try:
            await run.write(**changes)
        except ProtostarError as error:
            log.error("journal_not_written", error=error.message)

    async def _settle(self, run: Run) -> None:
        """Behind the answer: after power loss the guest is gone, and an operation that is repeated finds that out."""
        try:
            async with asyncio.timeout(_SETTLE_SECONDS):
                await undoing.forget(self.uid, self._host)
                await run.write(undo=(), launch=None)
                await self._journals.settle(self.uid)
        except (TimeoutError, ProtostarError) as error:
            log.error("journal_not_settled", error=str(error))


def _known(error: Exception) -> ProtostarError:
    if isinstance(error, ProtostarError):
        return error
    log.error("step_failed", exc_info=error)
    return _bug(error)


def _bug(error: Exception) -> ProtostarError:
    return Internal(f"internal error ({type(error).__name__}); report it with the trace id")
