"""An operation: accepted work, where it stands, and how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from api_svc.domain.failure import Failure
from api_svc.domain.image import Image, Import
from api_svc.domain.instance import Instance
from api_svc.domain.states import (
    OPEN,
    OperationState,
    RebootMode,
    StepState,
    StopMode,
    StopOutcome,
    TaskState,
    Verb,
    WaitingFor,
)

SYSTEM = "system"


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One step, as whoever does it tells of it."""

    name: str
    state: StepState
    attempt: int = 0
    start_time: datetime | None = None
    end_time: datetime | None = None
    detail: str = ""
    error: Failure | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """How far an import has come."""

    done_bytes: int = 0
    total_bytes: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Parameters:
    """How the work is to be done: what of the request outlives its acceptance."""

    repair: bool = False
    stop_mode: StopMode = StopMode.GRACEFUL
    grace_seconds: float | None = None
    reboot_mode: RebootMode = RebootMode.SOFT
    import_: Import | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """What a finished operation answers; which fields are set depends on its verb."""

    instance: Instance | None = None
    fast_start: bool = False
    outcome: StopOutcome | None = None
    performed: RebootMode | None = None
    image: Image | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Lease:
    """Who works on it, and until when nobody else may."""

    owner: str
    until: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """Which request made it. `scope` is the caller's project: ids of one project never meet another's (AIP-155)."""

    scope: str
    id: str
    digest: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Operation:
    """Accepted work. `task` is the task_state it holds its instance in; `not_before` the earliest next attempt."""

    uid: str
    verb: Verb
    target: str
    project: str
    actor: str
    create_time: datetime
    deadline: datetime
    not_before: datetime
    host: str = ""
    task: TaskState = TaskState.NONE
    generation: int = 0
    state: OperationState = OperationState.QUEUED
    attempt: int = 0
    steps: tuple[Step, ...] = ()
    progress: Progress | None = None
    parameters: Parameters = Parameters()
    waiting_for: WaitingFor = WaitingFor.DISPATCH
    trace: Mapping[str, str] = field(default_factory=dict)
    start_time: datetime | None = None
    end_time: datetime | None = None
    no_op: bool = False
    cancel_requested: bool = False
    error: Failure | None = None
    result: Result | None = None
    request: Request | None = None
    lease: Lease | None = None

    @property
    def name(self) -> str:
        """Resource name; "" for a plan that was never accepted."""
        return f"operations/{self.uid}" if self.uid else ""

    @property
    def target_uid(self) -> str:
        """UUID of the instance or image."""
        return self.target.partition("/")[2]

    @property
    def done(self) -> bool:
        """It has ended."""
        return self.state not in OPEN

    @property
    def trace_id(self) -> str:
        """32 hex digits, "" if its request was not traced."""
        parts = self.trace.get("traceparent", "").split("-")
        return parts[1] if len(parts) == 4 else ""

    @property
    def is_plan(self) -> bool:
        """It answers a validate_only request."""
        return not self.uid


def with_step(steps: tuple[Step, ...], step: Step) -> tuple[Step, ...]:
    """The steps with news of one: in place when it was told of before in this attempt, else at the end."""
    for index in range(len(steps) - 1, -1, -1):
        if steps[index].name == step.name and steps[index].attempt == step.attempt:
            return (*steps[:index], step, *steps[index + 1 :])
    return (*steps, step)


def failing_step(steps: tuple[Step, ...]) -> str:
    """The step that failed, else the one that was running last; "" when none was."""
    for wanted in (StepState.FAILED, StepState.RUNNING):
        names = [step.name for step in steps if step.state is wanted]
        if names:
            return names[-1]
    return ""
