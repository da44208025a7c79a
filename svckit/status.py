"""Errors to google.rpc.Status and back: the same exception on both sides of the wire (AIP-193)."""

from __future__ import annotations

from typing import Any

import grpc
from google.protobuf.any_pb2 import Any as PackedAny
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2 as details
from google.rpc.status_pb2 import Status

from svckit import errors

DOMAIN = "protostar"
_METADATA_KEY = "grpc-status-details-bin"


def to_status(error: errors.ProtostarError, trace_id: str = "") -> Status:
    """The error as a Status with exactly one ErrorInfo, and the trace it happened in."""
    metadata = {**error.metadata, **({"trace_id": trace_id} if trace_id else {})}
    parts: list[Message] = [details.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=metadata)]
    if error.violations:
        violations = [
            details.BadRequest.FieldViolation(field=v.field, description=v.description) for v in error.violations
        ]
        parts.append(details.BadRequest(field_violations=violations))
    if error.resource:
        parts.append(details.ResourceInfo(resource_type=error.resource.kind, resource_name=error.resource.name))
    if error.precondition:
        p = error.precondition
        violation = details.PreconditionFailure.Violation(type=p.type, subject=p.subject, description=p.description)
        parts.append(details.PreconditionFailure(violations=[violation]))
    if error.retry_after is not None:
        delay = Duration()
        delay.FromNanoseconds(round(error.retry_after * 1e9))
        parts.append(details.RetryInfo(retry_delay=delay))
    return Status(code=error.code, message=error.message, details=[_pack(part) for part in parts])


def from_status(status: Status) -> errors.ProtostarError:
    """The error that a Status tells of; one without our ErrorInfo gets its class's default reason."""
    found = {kind: _unpack(status, kind) for kind in _DETAILS}
    info, bad, resource, failed, retry = (found[kind] for kind in _DETAILS)
    kind = errors.BY_CODE.get(status.code, errors.Internal)
    metadata = {k: v for k, v in info.metadata.items() if k != "trace_id"} if info else {}
    first = failed.violations[0] if failed and failed.violations else None
    return kind(
        status.message,
        reason=info.reason if info else None,
        metadata=metadata,
        violations=[errors.FieldViolation(v.field, v.description) for v in bad.field_violations] if bad else (),
        resource=errors.Resource(resource.resource_type, resource.resource_name) if resource else None,
        precondition=errors.Precondition(first.type, first.subject, first.description) if first else None,
        retry_after=retry.retry_delay.ToTimedelta().total_seconds() if retry else None,
    )


def from_rpc_error(error: grpc.aio.AioRpcError) -> errors.ProtostarError:
    """The error that a failed call tells of."""
    return from_status(status_of(error))


def status_of(error: grpc.aio.AioRpcError) -> Status:
    """The full Status of a failed call, built from code and text where the server sent no details."""
    for key, value in error.trailing_metadata() or ():
        if key == _METADATA_KEY:
            return Status.FromString(value)
    return Status(code=error.code().value[0], message=error.details() or error.code().name)


def trailing_metadata(status: Status) -> tuple[str, bytes]:
    """The metadata entry by which a Status with details travels."""
    return (_METADATA_KEY, status.SerializeToString())


_DETAILS = (
    details.ErrorInfo,
    details.BadRequest,
    details.ResourceInfo,
    details.PreconditionFailure,
    details.RetryInfo,
)


def _pack(message: Message) -> PackedAny:
    packed = PackedAny()
    packed.Pack(message)
    return packed


def _unpack(status: Status, kind: type[Message]) -> Any:
    for packed in status.details:
        if packed.Is(kind.DESCRIPTOR):
            message = kind()
            packed.Unpack(message)
            return message
    return None
