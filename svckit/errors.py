"""The errors of Protostar: a small vocabulary, raised deep inside and understood at the far end of the wire.

    ProtostarError
    ├── InvalidArgument      the request is wrong; fix it
    ├── Unauthenticated      who are you?
    ├── PermissionDenied     you may not
    ├── NotFound             no such thing
    ├── AlreadyExists        there is one already
    ├── FailedPrecondition   not in this state; change the state first
    ├── Aborted              somebody else was faster or is at it; read again, then retry
    ├── OutOfRange           past the end, for example a cursor that is too old
    ├── ResourceExhausted    no room, no quota
    ├── Unimplemented        not here
    ├── Unavailable          a peer or store is away; retry the same call
    ├── DeadlineExceeded     it took too long
    ├── Cancelled            somebody asked for it to stop
    └── Internal             a bug, or a failure that has no better name

Pure: domain code may import it. `svckit.status` gives each its place on the wire (AIP-193).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self


@dataclass(frozen=True)
class FieldViolation:
    """A field of a request, by its path, and what is wrong with it."""

    field: str
    description: str


@dataclass(frozen=True)
class Resource:
    """The thing that an error is about: a kind ("instance") and its name."""

    kind: str
    name: str


@dataclass(frozen=True)
class Precondition:
    """A condition that was not met: its type ("LOCK", "VM_STATE"), what it is about, and what to do."""

    type: str
    subject: str
    description: str


class ProtostarError(Exception):
    """Root of all errors that a caller is meant to see.

    `reason` is UPPER_SNAKE and stable; `metadata` holds every value of the message, so that nobody parses text.
    """

    code: ClassVar[int] = 2
    default_reason: ClassVar[str] = "UNKNOWN"

    def __init__(
        self,
        message: str,
        *,
        reason: str | None = None,
        metadata: Mapping[str, str] | None = None,
        violations: Sequence[FieldViolation] = (),
        resource: Resource | None = None,
        precondition: Precondition | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason or self.default_reason
        self.metadata = dict(metadata or {})
        self.violations = tuple(violations)
        self.resource = resource
        self.precondition = precondition
        self.retry_after = retry_after

    def with_metadata(self, **values: str) -> Self:
        """Add what an outer layer knows, for example the step that failed."""
        self.metadata.update(values)
        return self


class InvalidArgument(ProtostarError):
    """The request is wrong whatever the state of the system; fix it."""

    code = 3
    default_reason = "INVALID_FIELD"

    @classmethod
    def field(cls, field: str, description: str) -> InvalidArgument:
        """One bad field, named by its path in the request."""
        return cls(
            f"{field}: {description}", violations=[FieldViolation(field, description)], metadata={"field": field}
        )


class DeadlineExceeded(ProtostarError):
    """It did not end in time."""

    code = 4
    default_reason = "DEADLINE_EXCEEDED"


class NotFound(ProtostarError):
    """No such thing, or none that this caller may see."""

    code = 5
    default_reason = "NOT_FOUND"

    @classmethod
    def of(cls, kind: str, name: str) -> NotFound:
        """The usual case: reason KIND_NOT_FOUND and a message that says which."""
        return cls(
            f"{kind} {name!r} does not exist, or you may not see it",
            reason=f"{kind.upper()}_NOT_FOUND",
            metadata={kind: name},
            resource=Resource(kind, name),
        )


class AlreadyExists(ProtostarError):
    """There is one already."""

    code = 6
    default_reason = "ALREADY_EXISTS"

    @classmethod
    def of(cls, kind: str, name: str) -> AlreadyExists:
        """The usual case: reason KIND_ALREADY_EXISTS and a message that says which."""
        return cls(
            f"{kind} {name!r} exists already",
            reason=f"{kind.upper()}_ALREADY_EXISTS",
            metadata={kind: name},
            resource=Resource(kind, name),
        )


class PermissionDenied(ProtostarError):
    """The caller is known and may not."""

    code = 7
    default_reason = "PERMISSION_DENIED"


class ResourceExhausted(ProtostarError):
    """No room: quota, capacity, disk space, addresses."""

    code = 8
    default_reason = "RESOURCE_EXHAUSTED"


class FailedPrecondition(ProtostarError):
    """Not in this state; do not retry before it has changed."""

    code = 9
    default_reason = "FAILED_PRECONDITION"


class Aborted(ProtostarError):
    """Somebody else was faster or is at work; look again, then retry."""

    code = 10
    default_reason = "ABORTED"


class OutOfRange(ProtostarError):
    """Past a valid range."""

    code = 11
    default_reason = "OUT_OF_RANGE"


class Unimplemented(ProtostarError):
    """Not offered here."""

    code = 12
    default_reason = "UNIMPLEMENTED"


class Internal(ProtostarError):
    """A bug, or a failure that has no better name."""

    code = 13
    default_reason = "INTERNAL"


class Unavailable(ProtostarError):
    """A peer or a store is away; the same call may be retried."""

    code = 14
    default_reason = "UNAVAILABLE"


class Unauthenticated(ProtostarError):
    """No credential, or a bad one."""

    code = 16
    default_reason = "UNAUTHENTICATED"


class Cancelled(ProtostarError):
    """Somebody asked for it to stop."""

    code = 1
    default_reason = "CANCELLED"


ALL: tuple[type[ProtostarError], ...] = (
    InvalidArgument,
    DeadlineExceeded,
    NotFound,
    AlreadyExists,
    PermissionDenied,
    ResourceExhausted,
    FailedPrecondition,
    Aborted,
    OutOfRange,
    Unimplemented,
    Internal,
    Unavailable,
    Unauthenticated,
    Cancelled,
)
BY_CODE: Mapping[int, type[ProtostarError]] = {kind.code: kind for kind in ALL}
