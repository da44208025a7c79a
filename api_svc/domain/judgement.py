"""What the end of an attempt means: try again, and when, or give up, and as what."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum, auto

from api_svc.domain.failure import Failure
from api_svc.domain.lifecycle import Outcome
from api_svc.domain.operation import Operation, Result, Step, failing_step
from api_svc.domain.plan import BIND, RELEASE
from api_svc.domain.states import StepState, Verb, WaitingFor
from svckit.errors import Aborted, Cancelled, DeadlineExceeded, ProtostarError, Unavailable

FIRST_DELAY = 0.2
MAX_DELAY = 5.0
_STALE = frozenset({"STALE_GENERATION", "SUPERSEDED"})
_NETBLOCK_STEPS = frozenset({"network_info", "block_device_info", BIND, RELEASE})
_IMAGE_STEPS = frozenset({"backing", "config_drive", "disks", "fetch", "verify", "inspect", "publish"})


class End(Enum):
    """How an attempt ended."""

    SUCCEEDED = auto()
    FAILED = auto()
    CANCELLED = auto()
    SUPERSEDED = auto()
    AGAIN = auto()


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """The end of an attempt. `known` says that whoever did the work told of its end."""

    end: End
    known: bool = True
    outcome: Outcome = field(default_factory=Outcome)
    result: Result = field(default_factory=Result)
    failure: Failure | None = None
    waiting_for: WaitingFor = WaitingFor.NOTHING


def judge(operation: Operation, error: ProtostarError, now: datetime) -> Verdict:
    """What an attempt that raised `error` comes to.

    A silent peer is waited for until the deadline. Past it the operation fails with DEADLINE_EXCEEDED, and says what it
    had been waiting for.
    """
    if isinstance(error, Aborted) and error.reason in _STALE:
        return Verdict(end=End.SUPERSEDED, failure=Failure.of(error))
    if isinstance(error, Cancelled):
        return Verdict(end=End.CANCELLED, failure=Failure.of(_named(operation, error)))
    if not isinstance(error, Unavailable):
        return Verdict(end=End.FAILED, failure=Failure.of(_named(operation, error)))
    if now < operation.deadline:
        return Verdict(end=End.AGAIN, known=False, waiting_for=missing_peer(operation, error))
    return out_of_time(operation, error)


def out_of_time(operation: Operation, last: ProtostarError | None = None) -> Verdict:
    """Its deadline has come before the end of its work was known."""
    waited = missing_peer(operation, last) if last is not None else operation.waiting_for
    because = f" (it was waiting for {waited}{f': {last.message}' if last else ''})" if waited else ""
    error = DeadlineExceeded(
        f"{operation.name} did not end by {operation.deadline.isoformat(timespec='seconds')}{because}",
        metadata={"operation": operation.name, **({"waiting_for": waited} if waited else {})},
    )
    return Verdict(end=End.FAILED, known=False, failure=Failure.of(_named(operation, error)))


def cancelled(operation: Operation, *, known: bool = True) -> Verdict:
    """It was cancelled while nobody was at work on it."""
    done = ", ".join(step.name for step in operation.steps) or "nothing"
    error = Cancelled(f"{operation.name} was cancelled; begun until then: {done}", metadata={"begun": done})
    return Verdict(end=End.CANCELLED, known=known, failure=Failure.of(_named(operation, error)))


def is_untouched(operation: Operation) -> bool:
    """Nobody works on it, and no host can have heard of it: it may be ended without asking one.

    An attempt that ended by itself has written which steps it was told of. One whose replica died has not.
    """
    if operation.lease is not None or operation.steps:
        return False
    return operation.attempt == 0 or operation.waiting_for is WaitingFor.HOST


def missing_peer(operation: Operation, error: ProtostarError) -> WaitingFor:
    """Which peer's silence stopped the work: told by the step that failed."""
    step = error.metadata.get("step", "")
    if step in _NETBLOCK_STEPS:
        return WaitingFor.NETBLOCK_SERVICE
    if step in _IMAGE_STEPS or operation.verb is Verb.IMPORT_IMAGE:
        return WaitingFor.IMAGE_SERVICE
    return WaitingFor.HOST if not step else WaitingFor.RETRY


def waiting_on(step: Step) -> WaitingFor:
    """What a step that is told of waits for: a host says so in the step's detail, and whom it lacks by the step."""
    if step.state is not StepState.RUNNING or not step.detail.startswith("waiting for "):
        return WaitingFor.NOTHING
    if step.name in _NETBLOCK_STEPS:
        return WaitingFor.NETBLOCK_SERVICE
    return WaitingFor.IMAGE_SERVICE if step.name in _IMAGE_STEPS else WaitingFor.RETRY


def next_attempt(operation: Operation, now: datetime, jitter: float) -> datetime:
    """When to try again: 0.2 s doubling to 5 s, spread by `jitter` (0 to 1), and at the deadline at the latest."""
    delay = min(MAX_DELAY, FIRST_DELAY * 2 ** min(operation.attempt - 1, 10))
    return min(now + timedelta(seconds=delay * (0.5 + jitter / 2)), operation.deadline)


def _named(operation: Operation, error: ProtostarError) -> ProtostarError:
    """Every failed operation names the step that failed, if one had begun."""
    step = error.metadata.get("step") or failing_step(operation.steps)
    return error.with_metadata(step=step) if step else error
