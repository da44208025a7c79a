"""How an operation ended, in words. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from google.longrunning.operations_pb2 import Operation
from google.protobuf.message import Message
from protostar.api.v1 import image_pb2, instance_pb2, instance_service_pb2, operation_pb2

from cli.present import words
from svckit import status
from svckit.errors import ProtostarError

_DONE: Mapping[int, str] = {
    operation_pb2.VERB_CREATE: "created",
    operation_pb2.VERB_DELETE: "deleted",
    operation_pb2.VERB_START: "started",
    operation_pb2.VERB_STOP: "stopped",
    operation_pb2.VERB_REBOOT: "rebooted",
    operation_pb2.VERB_IMPORT_IMAGE: "imported",
}
_STOPPED: Mapping[int, str] = {
    instance_service_pb2.STOP_OUTCOME_GUEST_STOPPED: "the guest shut itself down",
    instance_service_pb2.STOP_OUTCOME_KILLED: "its power was cut",
    instance_service_pb2.STOP_OUTCOME_ALREADY_OFF: "it was off before",
}


@dataclass(frozen=True, kw_only=True)
class Failure:
    """What is to be said of an operation that failed."""

    step: str
    error: ProtostarError
    took: float


def metadata_of(operation: Operation) -> operation_pb2.OperationMetadata:
    """What an operation says about itself; empty when it says nothing."""
    metadata = operation_pb2.OperationMetadata()
    operation.metadata.Unpack(metadata)
    return metadata


def took(metadata: operation_pb2.OperationMetadata) -> float:
    """Seconds from acceptance to the end."""
    if not (metadata.HasField("end_time") and metadata.HasField("create_time")):
        return 0.0
    return words.seconds_of(metadata.end_time) - words.seconds_of(metadata.create_time)


def success(operation: Operation, called: str) -> str:
    """One line about an operation that ended well; `called` is its target as the user knows it."""
    metadata = metadata_of(operation)
    if metadata.validate_only:
        return f"nothing was changed; it would be {_DONE.get(metadata.verb, 'done')} in the steps above"
    done = f"{_DONE.get(metadata.verb, 'done')} in {words.duration(took(metadata))}"
    if metadata.no_op:
        done = "nothing had to be done"
    attempt = f"at attempt {metadata.attempt}" if metadata.attempt > 1 else ""
    return ", ".join(filter(None, (f"{called}{_is(operation)}", done, attempt, _remark(operation))))


def failure(operation: Operation) -> Failure:
    """What failed, where."""
    metadata = metadata_of(operation)
    error = status.from_status(operation.error)
    failed = [step.name for step in metadata.steps if step.state == operation_pb2.STEP_STATE_FAILED]
    step = error.metadata.get("step") or (failed[-1] if failed else "")
    return Failure(step=step, error=error, took=took(metadata))


def reason(operation: Operation) -> str:
    """Why it failed, in one stable word; empty when it did not."""
    return status.from_status(operation.error).reason if operation.HasField("error") else ""


def _is(operation: Operation) -> str:
    response = _response(operation)
    instance = getattr(response, "instance", response)
    if isinstance(instance, instance_pb2.Instance):
        return f" is {words.enum(instance, 'vm_state')}"
    return ""


def _remark(operation: Operation) -> str:
    response = _response(operation)
    if isinstance(response, instance_service_pb2.StartInstanceResponse):
        return "fast start: its definition had not changed" if response.fast_start else ""
    if isinstance(response, instance_service_pb2.StopInstanceResponse):
        return _STOPPED.get(response.outcome, "")
    if isinstance(response, instance_service_pb2.RebootInstanceResponse):
        return words.enum(response, "performed").lower()
    if isinstance(response, image_pb2.Image):
        return f"{response.disk_format}, {words.size(response.size_bytes)}"
    return ""


_RESPONSES: tuple[type[Message], ...] = (
    instance_pb2.Instance,
    instance_service_pb2.StartInstanceResponse,
    instance_service_pb2.StopInstanceResponse,
    instance_service_pb2.RebootInstanceResponse,
    image_pb2.Image,
)


def _response(operation: Operation) -> Message | None:
    for kind in _RESPONSES:
        message = kind()
        if operation.response.Unpack(message):
            return message
    return None
