"""How a piece of work goes, for any number of followers that come and leave when they like."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable

from compute_svc.domain.failure import Failure
from compute_svc.domain.journal import Journal
from compute_svc.domain.results import Result
from compute_svc.domain.steps import Step, StepState
from svckit.errors import ProtostarError

# A step that is over sooner is told once, not twice: most starts are over before anybody could read what they do.
_TELL_AFTER = 0.02


class Progress:
    """Steps as they stand now, in the order in which they began, and the end."""

    def __init__(self, steps: Iterable[Step] = ()) -> None:
        self._steps = {step.name: step for step in steps}
        self._end: Result | Failure | None = None
        self._changed: asyncio.Event = asyncio.Event()
        self.ended = asyncio.Event()

    @classmethod
    def of(cls, journal: Journal) -> Progress:
        """Work that has ended, as its journal tells it."""
        told = cls(journal.steps)
        end = journal.result or journal.failure
        if end is None:
            raise AssertionError(f"journal of {journal.uid} ended without an end")
        told._finish(end)
        return told

    @property
    def steps(self) -> tuple[Step, ...]:
        """All of them, as they stand."""
        return tuple(self._steps.values())

    @property
    def current(self) -> str:
        """The step that was begun first of those that have not ended; the last one if all have."""
        running = (step.name for step in self._steps.values() if step.state is StepState.RUNNING)
        return next(running, next(reversed(self._steps), "claim"))

    def put(self, step: Step) -> None:
        """Tell how a step stands."""
        self._steps[step.name] = step
        self._wake()

    def succeed(self, result: Result) -> None:
        """It ended well."""
        self._finish(result)

    def fail(self, error: ProtostarError) -> None:
        """It ended badly. Only the first end counts."""
        self._finish(Failure.of(error))

    async def follow(self) -> AsyncIterator[tuple[Step, ...] | Result]:
        """The steps as they stand, those again that have changed, and the result last.

        :raise ProtostarError: what the work ended with.
        """
        told: dict[str, Step] = {}
        while True:
            changed = self._changed
            news = tuple(step for step in self.steps if told.get(step.name) is not step)
            told.update((step.name, step) for step in news)
            if news:
                yield news
            if self._end is not None:
                break
            await changed.wait()
            await self._ended_within(_TELL_AFTER)
        if isinstance(self._end, Failure):
            raise self._end.error()
        yield self._end

    def _finish(self, end: Result | Failure) -> None:
        if self._end is None:
            self._end = end
        self.ended.set()
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _ended_within(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self.ended.wait()
        except TimeoutError:
            return
