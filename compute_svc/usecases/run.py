"""What a procedure has at hand while it works at one instance: steps, write-ahead, and the time that is left."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any

from opentelemetry import metrics
from opentelemetry.util.types import AttributeValue

from compute_svc.domain.failure import Failure
from compute_svc.domain.journal import Command, Journal
from compute_svc.domain.steps import Step, StepState
from compute_svc.domain.undo import Undo, push
from compute_svc.ports import Journals
from compute_svc.usecases.progress import Progress
from svckit import tracing
from svckit.clock import Clock
from svckit.errors import Cancelled, ProtostarError
from svckit.failpoints import failpoint

_STEP_DURATION = metrics.get_meter("protostar").create_histogram(
    "protostar.step.duration", unit="s", description="Steps of operations on this host."
)


class Run:
    """One piece of work from its procedure's side.

    `journal` is what is known so far; on disk it is at least as new as the last `ahead`. `deadline` is the event loop's
    time when the work is interrupted, so that undoing still ends in time.
    """

    def __init__(
        self, journal: Journal, command: Command, progress: Progress, journals: Journals, clock: Clock, deadline: float
    ) -> None:
        self.journal = journal
        self.command = command
        self.progress = progress
        self.clock = clock
        self._journals = journals
        self._deadline = deadline
        self._claimed: asyncio.Future[None] | None = None

    @property
    def uid(self) -> str:
        """The instance."""
        return self.journal.uid

    def remaining(self) -> float:
        """Seconds that are left, never less than 0."""
        return max(0.0, self._deadline - asyncio.get_running_loop().time())

    async def write(self, **changes: Any) -> None:
        """Append the journal with these changes and the steps as they stand."""
        self.journal = replace(self.journal, steps=self.progress.steps, updated_at=self.clock(), **changes)
        await self._journals.append(self.journal)

    def sync_claim(self) -> None:
        """Begin to make the claim survive power loss; reading goes on meanwhile, the first `ahead` waits for it."""
        self._claimed = asyncio.ensure_future(self._journals.sync(self.uid))
        # Work that changes nothing never asks how it went.
        self._claimed.add_done_callback(lambda claimed: claimed.cancelled() or claimed.exception())

    async def ahead(self, *undo: Undo, **changes: Any) -> None:
        """Write down what is about to be done and what would undo it, before it is done."""
        if self._claimed is not None:
            await asyncio.shield(self._claimed)
        stack = self.journal.undo
        for entry in undo:
            stack = push(stack, entry)
        await self.write(undo=stack, **changes)

    @contextlib.asynccontextmanager
    async def step(self, name: str) -> AsyncIterator[RunningStep]:
        """A step: a span, a line for the followers, and its name in every error that comes out of it."""
        step = RunningStep(self, name)
        began = time.perf_counter()
        try:
            with tracing.span(f"step {name}", self.attributes(name)):
                await step.failpoint("before")
                yield step
                await step.failpoint("after")
        except ProtostarError as error:
            step.fail(error)
            raise
        except asyncio.CancelledError:
            step.fail(Cancelled(f"interrupted at step {name}"))
            raise
        else:
            step.end()
        finally:
            _STEP_DURATION.record(time.perf_counter() - began, {"protostar.step": name})

    def waiting_for(self, what: str) -> None:
        """Tell that the last step is not over but waits."""
        if self.progress.steps:
            last = max(self.progress.steps, key=lambda step: step.started_at)
            self.progress.put(
                replace(last, state=StepState.RUNNING, ended_at=None, failure=None, detail=f"waiting for {what}")
            )

    def attributes(self, step: str) -> Mapping[str, AttributeValue]:
        """What every span of this work says."""
        return {
            "protostar.step": step,
            "protostar.instance": self.uid,
            "protostar.operation": self.command.operation,
            "protostar.attempt": self.command.attempt,
        }


class RunningStep:
    """The step that is being done."""

    def __init__(self, run: Run, name: str) -> None:
        self._run = run
        self._step = Step(name=name, state=StepState.RUNNING, attempt=run.command.attempt, started_at=run.clock())
        self._state = StepState.DONE
        run.progress.put(self._step)

    def note(self, detail: str) -> None:
        """What it found or did, told when it ends."""
        self._step = replace(self._step, detail=detail)

    def skip(self, detail: str) -> None:
        """There is nothing to do."""
        self._state = StepState.SKIPPED
        self.note(detail)

    def waiting_for(self, what: str) -> None:
        """Told at once: what it waits for. "" when it waits no longer."""
        detail = f"waiting for {what}" if what else ""
        if detail != self._step.detail:
            self.note(detail)
            self._run.progress.put(self._step)

    async def ahead(self, *undo: Undo, **changes: Any) -> None:
        """See Run.ahead."""
        await self._run.ahead(*undo, **changes)

    async def inside(self) -> None:
        """Stands where something has been done that is not yet known to be done."""
        await self.failpoint("inside")

    async def failpoint(self, place: str) -> None:
        await failpoint(f"compute.{self._run.journal.verb}.{self._step.name}.{place}")

    def end(self) -> None:
        self._put(self._state)

    def fail(self, error: ProtostarError) -> None:
        error.metadata.setdefault("step", self._step.name)
        self._put(StepState.FAILED, Failure.of(error))

    def _put(self, state: StepState, failure: Failure | None = None) -> None:
        ended_at = max(self._step.started_at, self._run.clock())  # a clock that jumped back must not tell nonsense
        self._run.progress.put(replace(self._step, state=state, ended_at=ended_at, failure=failure))
