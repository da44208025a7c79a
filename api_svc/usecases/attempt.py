"""One attempt at one operation: who is called in which order, what is told as it goes, and what its end means."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from time import monotonic

import structlog

from api_svc.domain import judgement, plan
from api_svc.domain.failure import Failure
from api_svc.domain.image import Image
from api_svc.domain.instance import Instance, Placed
from api_svc.domain.judgement import End, Verdict
from api_svc.domain.lifecycle import Outcome
from api_svc.domain.operation import Operation, Progress, Result, Step, with_step
from api_svc.domain.states import OperationState, StepState, TaskState, Verb, WaitingFor
from api_svc.ports import Bound, Catalogue, Compute, Ended, Job, Netblock
from api_svc.usecases.board import Board
from svckit.clock import Clock
from svckit.errors import Internal, ProtostarError, Unavailable

log = structlog.get_logger(__name__)
_BOOTS = frozenset({TaskState.SPAWNING, TaskState.POWERING_ON, TaskState.REBOOTING_HARD})
# The host is told of a deadline this much earlier, so that it can undo and say so in time.
_MARGIN = timedelta(seconds=2)
_OURS = frozenset({WaitingFor.DISPATCH, WaitingFor.RETRY})
_CANCEL_AGAIN = 0.3
_ELDERS_SECONDS = 5.0
_LAST_WORD_SECONDS = 2.0
_RELEASE_SECONDS = 5.0
_LAST_WORDS: set[asyncio.Task[None]] = set()


@dataclass(frozen=True, kw_only=True, slots=True)
class Peers:
    """Whom an attempt calls."""

    compute: Compute
    netblock: Netblock
    catalogue: Catalogue


class Attempt:
    """`operation` is how it stands now. What is told of it is on the board at once, and in the database from time to
    time: `told` counts the news, `written` how many of them are there. `elders` are the ends of older attempts at the
    same instance.
    """

    def __init__(
        self,
        operation: Operation,
        placed: Placed | None,
        peers: Peers,
        board: Board,
        clock: Clock,
        elders: Sequence[asyncio.Event] = (),
    ) -> None:
        self.operation = operation
        self.placed = placed
        self.began = clock()
        self._began_at = monotonic()
        self.told = 1
        self.written = 0
        self.ended = asyncio.Event()
        self.stopped = False
        self.settling = False
        self.task: asyncio.Task[None] | None = None
        self._peers = peers
        self._board = board
        self._clock = clock
        self._elders = elders
        # Of earlier attempts no host can have heard: then there is none to ask when it is cancelled.
        self._is_first_word = operation.attempt <= 1 or judgement.is_untouched(replace(operation, lease=None))
        self._job: Job | None = None
        self._committed = False
        self._interrupted = False
        self._cancelling: asyncio.Task[None] | None = None

    @property
    def age(self) -> float:
        """Seconds since it began, whatever the clock shows."""
        return monotonic() - self._began_at

    async def run(self) -> Verdict:
        """Work until there is a verdict, at the latest at the deadline."""
        await self._wait_for_elders()
        waited_for = self.operation.waiting_for
        self.tell(
            state=OperationState.RUNNING,
            # What it waited for is still missing until somebody answers.
            waiting_for=WaitingFor.NOTHING if waited_for in _OURS else waited_for,
            start_time=self.operation.start_time or self.began,
        )
        try:
            return await self._compensated(await self._work())
        finally:
            if self._cancelling is not None:
                self._cancelling.cancel()

    async def _wait_for_elders(self) -> None:
        """Older attempts let go first: they were told to, and take no time for it."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_ELDERS_SECONDS):
                for ended in self._elders:
                    await ended.wait()

    def tell(self, **news: object) -> None:
        """Change how it stands, and let its followers know."""
        self.operation = replace(self.operation, **news)  # type: ignore[arg-type]
        self.told += 1
        self._board.publish(self.operation)

    def cancel(self) -> None:
        """Have the work stopped and undone, if it is not too late; its verdict says which."""
        if self._cancelling is not None or self._interrupted:
            return
        self.tell(cancel_requested=True, waiting_for=WaitingFor.CANCEL)
        if self._job is not None:
            self._cancelling = asyncio.create_task(self._cancel_at_host(self._job))
        elif self.task is not None and not self._committed and not self.settling:
            self._interrupted = True
            self.task.cancel()

    def stop(self) -> None:
        """Let go of it without a verdict: it is somebody else's now. What is being written finds that out itself."""
        if self.task is not None and not self.settling:
            self.stopped = True
            self.task.cancel()

    async def _work(self) -> Verdict:
        left = (self.operation.deadline - self._clock()).total_seconds()
        try:
            async with asyncio.timeout(max(left, 0)):
                return await self._perform()
        except TimeoutError:
            self._say_last_word()
            return judgement.out_of_time(self.operation)
        except ProtostarError as error:
            return judgement.judge(self.operation, error, self._clock())
        except asyncio.CancelledError:
            if not self._interrupted or self.stopped or self.task is None:
                raise
            self.task.uncancel()
            return judgement.cancelled(self.operation)

    async def _perform(self) -> Verdict:
        if self.operation.cancel_requested and self._is_first_word:
            return judgement.cancelled(self.operation)
        if self.operation.verb is Verb.IMPORT_IMAGE:
            return await self._import()
        assert self.placed is not None
        if self._must_bind(self.placed.instance):
            await self._bind(self.placed.instance)
        ended = await self._at_host(self.placed)
        if self.operation.verb is Verb.DELETE:
            self._committed = True
            await self._release(self.placed.instance)
        return Verdict(end=End.SUCCEEDED, outcome=ended.outcome, result=ended.result)

    def _must_bind(self, instance: Instance) -> bool:
        """What never ran has no ports yet: at creation, and at a hard reboot after a failed one."""
        return self.operation.task in _BOOTS and instance.launch_time is None

    async def _bind(self, instance: Instance) -> None:
        wanted, generation = instance.spec, self.operation.generation
        async with self._step(plan.BIND):
            bind = self._peers.netblock.bind(
                instance.uid, instance.project, wanted.ports, wanted.volumes, generation=generation
            )
            await self._to_its_end(asyncio.ensure_future(bind))

    async def _to_its_end(self, call: asyncio.Future[Bound]) -> None:
        """netblock_svc finishes what it began; what a cancelled attempt releases next must not come before that."""
        try:
            await asyncio.shield(call)
        except asyncio.CancelledError:
            if self._interrupted:
                await asyncio.wait([call])
            call.cancel()
            raise

    async def _release(self, instance: Instance) -> None:
        async with self._step(plan.RELEASE):
            await self._peers.netblock.release(instance.uid, generation=self.operation.generation)

    async def _at_host(self, placed: Placed) -> Ended:
        if not placed.instance.host:
            return Ended(outcome=Outcome())  # never placed: nothing of it is anywhere
        if placed.host is None:
            raise Unavailable(f"host {placed.instance.host!r} has not reported yet")
        left = self.operation.deadline - self._clock()
        self._job = Job(
            operation=self.operation,
            instance=placed.instance,
            address=placed.host.address,
            time_left=max(left - min(_MARGIN, left / 5), timedelta()).total_seconds(),
        )
        if self.operation.cancel_requested:
            self._cancelling = asyncio.create_task(self._cancel_at_host(self._job))
        async with contextlib.aclosing(self._peers.compute.perform(self._job)) as told:
            async for event in told:
                if isinstance(event, Ended):
                    self._job = None
                    return event
                self._on_step(event)
        raise Internal(f"the host ended its work on {self.operation.name} without a result", reason="NO_RESULT")

    async def _import(self) -> Verdict:
        wanted = self.operation.parameters.import_
        assert wanted is not None
        async with contextlib.aclosing(self._peers.catalogue.import_(wanted)) as told:
            async for event in told:
                match event:
                    case Step():
                        self._on_step(event)
                    case Progress():
                        self.tell(progress=event)
                    case Image():
                        return Verdict(end=End.SUCCEEDED, result=Result(image=event))
        raise Internal(f"the import of {self.operation.name} ended without an image", reason="NO_RESULT")

    async def _compensated(self, verdict: Verdict) -> Verdict:
        """What never ran keeps no ports when its creation fails. When nobody knows whether it runs, it keeps them."""
        instance = self.placed.instance if self.placed else None
        over = verdict.end in (End.FAILED, End.CANCELLED) and verdict.known
        if not over or instance is None or not self._must_bind(instance):
            return verdict
        self._committed = True
        try:
            async with asyncio.timeout(_RELEASE_SECONDS):
                await self._release(instance)
        except (ProtostarError, TimeoutError) as error:
            log.warning("release_failed", instance=instance.uid, error=str(error))
            return _with_leftovers(verdict)
        return verdict

    async def _cancel_at_host(self, job: Job) -> None:
        """Ask until the host says it heard; it may not have begun yet. Ends with the attempt."""
        while True:
            with contextlib.suppress(ProtostarError):
                if await self._peers.compute.cancel(job):
                    return
            await asyncio.sleep(_CANCEL_AGAIN)

    def _say_last_word(self) -> None:
        """The deadline has come: the host is told, if it can be told, that nobody waits any more."""
        if self._job is not None:
            task = asyncio.create_task(_cancel_once(self._peers.compute, self._job))
            _LAST_WORDS.add(task)
            task.add_done_callback(_LAST_WORDS.discard)

    @contextlib.asynccontextmanager
    async def _step(self, name: str) -> AsyncIterator[None]:
        """A step that is done here."""
        step = Step(name=name, state=StepState.RUNNING, start_time=self._clock())
        self._on_step(step)
        try:
            yield
        except ProtostarError as error:
            failed = Failure.of(error.with_metadata(step=name))
            self._on_step(replace(step, state=StepState.FAILED, end_time=self._clock(), error=failed))
            raise
        except asyncio.CancelledError:
            self._on_step(replace(step, state=StepState.FAILED, end_time=self._clock(), detail="interrupted"))
            raise
        self._on_step(replace(step, state=StepState.DONE, end_time=self._clock()))

    def _on_step(self, step: Step) -> None:
        named = step if step.attempt else replace(step, attempt=self.operation.attempt)
        waiting = WaitingFor.CANCEL if self.operation.cancel_requested else judgement.waiting_on(named)
        self.tell(steps=with_step(self.operation.steps, named), waiting_for=waiting)


async def _cancel_once(compute: Compute, job: Job) -> None:
    with contextlib.suppress(ProtostarError, TimeoutError):
        async with asyncio.timeout(_LAST_WORD_SECONDS):
            await compute.cancel(job)


def _with_leftovers(verdict: Verdict) -> Verdict:
    assert verdict.failure is not None
    left = ",".join(filter(None, (verdict.failure.metadata.get("leftovers", ""), "ports")))
    metadata = {**verdict.failure.metadata, "leftovers": left}
    return replace(verdict, failure=replace(verdict.failure, metadata=metadata))
