"""What a host remembers about the work at one instance, and who may work next. Pure.

The journal answers three questions after a crash: is this command older than one that was already obeyed (fencing), how
did this operation end, and if it did not, what had it done.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, StrEnum

from compute_svc.domain.failure import Failure
from compute_svc.domain.results import Result
from compute_svc.domain.steps import Step, StepState, Verb
from compute_svc.domain.undo import Undo
from svckit.errors import Aborted

# How long a deleted instance is remembered: far longer than any command for it can still be on its way.
TOMBSTONE_AGE = timedelta(days=7)


@dataclass(frozen=True, kw_only=True)
class Command:
    """What identifies a piece of work; `seconds` is how long it may take."""

    operation: str
    generation: int
    attempt: int
    seconds: float


class Phase(StrEnum):
    """How far a piece of work has come."""

    WORKING = "WORKING"
    UNDOING = "UNDOING"
    ENDED = "ENDED"


@dataclass(frozen=True, kw_only=True)
class Launch:
    """Written before a guest is launched: when QEMU's log has grown since, in the same boot of the host, one was."""

    boot_id: str
    log_size: int


@dataclass(frozen=True, kw_only=True)
class Journal:
    """The newest work at an instance. `boots` counts launches of its guest, `applied` is the last generation that
    ended.
    """

    uid: str
    generation: int
    operation: str
    verb: Verb
    attempt: int
    updated_at: datetime
    phase: Phase = Phase.WORKING
    steps: tuple[Step, ...] = ()
    undo: tuple[Undo, ...] = ()
    launch: Launch | None = None
    result: Result | None = None
    failure: Failure | None = None
    boots: int = 0
    applied: int = 0
    deleted: bool = False

    def step(self, name: str) -> Step | None:
        """A step of this work; None if it never began."""
        return next((step for step in self.steps if step.name == name), None)

    def began(self, name: str) -> bool:
        """Whether a step of this work went as far as to act."""
        step = self.step(name)
        return step is not None and step.state is not StepState.SKIPPED

    @property
    def settled(self) -> bool:
        """Whether nothing is left of its work that somebody would have to look after."""
        return self.phase is Phase.ENDED and not self.undo

    def expired(self, now: datetime) -> bool:
        """Whether it may be forgotten."""
        return self.deleted and self.phase is Phase.ENDED and now - self.updated_at > TOMBSTONE_AGE


class Standing(Enum):
    """How the newest piece of work that is known stands."""

    RUNNING = "running"
    INTERRUPTED = "interrupted"
    ENDED = "ended"


@dataclass(frozen=True, kw_only=True)
class Seen:
    """The newest piece of work that is known of an instance."""

    operation: str
    generation: int
    standing: Standing


class Admission(Enum):
    """What is done with a command."""

    BEGIN = "begin"
    SUPERSEDE = "supersede"
    JOIN = "join"
    RESUME = "resume"
    ANSWER = "answer"


_SAME = {
    Standing.RUNNING: Admission.JOIN,
    Standing.INTERRUPTED: Admission.RESUME,
    Standing.ENDED: Admission.ANSWER,
}


def seen(journal: Journal | None) -> Seen | None:
    """What the journal alone tells, when nothing runs."""
    if journal is None:
        return None
    standing = Standing.ENDED if journal.phase is Phase.ENDED else Standing.INTERRUPTED
    return Seen(operation=journal.operation, generation=journal.generation, standing=standing)


def admit(newest: Seen | None, command: Command) -> Admission:
    """Decide on a command by what is known.

    :raise Aborted: STALE_GENERATION, a newer command was already obeyed, or another one of the same generation.
    """
    if newest is None:
        return Admission.BEGIN
    if command.operation == newest.operation and command.generation == newest.generation:
        return _SAME[newest.standing]
    if command.generation <= newest.generation or command.operation == newest.operation:
        raise Aborted(
            f"generation {command.generation} is stale: this host has already obeyed generation {newest.generation} "
            f"of operation {newest.operation}; read the instance again",
            reason="STALE_GENERATION",
            metadata={
                "generation": str(command.generation),
                "newest_generation": str(newest.generation),
                "operation": newest.operation,
            },
        )
    return Admission.BEGIN if newest.standing is Standing.ENDED else Admission.SUPERSEDE
