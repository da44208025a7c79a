"""An error as a value: what is kept in the database of one that was raised."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from svckit import errors


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """A ProtostarError that can be stored, compared and raised again."""

    code: int
    reason: str
    message: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    violations: tuple[errors.FieldViolation, ...] = ()
    resource: errors.Resource | None = None
    precondition: errors.Precondition | None = None
    retry_after: float | None = None

    @classmethod
    def of(cls, error: errors.ProtostarError) -> Failure:
        """The value of an error."""
        return cls(
            code=error.code,
            reason=error.reason,
            message=error.message,
            metadata=dict(error.metadata),
            violations=error.violations,
            resource=error.resource,
            precondition=error.precondition,
            retry_after=error.retry_after,
        )

    def as_error(self) -> errors.ProtostarError:
        """The error again."""
        return errors.BY_CODE.get(self.code, errors.Internal)(
            self.message,
            reason=self.reason,
            metadata=self.metadata,
            violations=self.violations,
            resource=self.resource,
            precondition=self.precondition,
            retry_after=self.retry_after,
        )

    @property
    def step(self) -> str:
        """The step that failed, "" when none had begun."""
        return self.metadata.get("step", "")
