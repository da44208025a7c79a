"""An error as data, so that the journal can keep it and say it again. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from svckit import errors


@dataclass(frozen=True, kw_only=True)
class Failure:
    """What a ProtostarError says."""

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
        """The error as data."""
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

    def error(self) -> errors.ProtostarError:
        """The data as the error it came from."""
        return errors.BY_CODE.get(self.code, errors.Internal)(
            self.message,
            reason=self.reason,
            metadata=self.metadata,
            violations=self.violations,
            resource=self.resource,
            precondition=self.precondition,
            retry_after=self.retry_after,
        )
