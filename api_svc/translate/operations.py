"""Operations and their steps."""

from __future__ import annotations

from google.longrunning import operations_pb2
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message
from protostar.api.v1 import instance_service_pb2, operation_pb2

from api_svc.domain.failure import Failure
from api_svc.domain.operation import Operation, Progress, Result, Step
from api_svc.domain.states import StepState, Verb
from api_svc.translate import resources, values
from svckit import status


def operation_to_wire(operation: Operation) -> operations_pb2.Operation:
    """With its metadata, and its response or error once it has ended."""
    message = operations_pb2.Operation(name=operation.name, done=operation.done)
    message.metadata.Pack(_metadata(operation))
    if operation.error is not None:
        message.error.CopyFrom(resources.failure_to_wire(operation.error, operation.trace_id))
    elif operation.done:
        message.response.Pack(_response(operation.verb, operation.result or Result()))
    return message


def _metadata(operation: Operation) -> operation_pb2.OperationMetadata:
    return operation_pb2.OperationMetadata(
        verb=values.VERB.number(operation.verb),
        target=operation.target,
        project=operation.project,
        actor=operation.actor,
        state=values.OPERATION_STATE.number(operation.state),
        steps=[_step_to_wire(step, operation.trace_id) for step in operation.steps],
        attempt=operation.attempt,
        deadline=values.timestamp(operation.deadline),
        waiting_for=operation.waiting_for,
        trace_id=operation.trace_id,
        create_time=values.timestamp(operation.create_time),
        start_time=values.timestamp(operation.start_time),
        end_time=values.timestamp(operation.end_time),
        no_op=operation.no_op,
        generation=operation.generation,
        cancel_requested=operation.cancel_requested,
        validate_only=operation.is_plan,
        progress=_progress_to_wire(operation.progress) if operation.progress else None,
    )


def _response(verb: Verb, result: Result) -> Message:
    """As the comments of the public services promise, by verb."""
    instance = resources.instance_to_wire(result.instance) if result.instance else None
    match verb:
        case Verb.START:
            return instance_service_pb2.StartInstanceResponse(instance=instance, fast_start=result.fast_start)
        case Verb.STOP:
            outcome = values.STOP_OUTCOME.number(result.outcome)
            return instance_service_pb2.StopInstanceResponse(instance=instance, outcome=outcome)
        case Verb.REBOOT:
            performed = values.REBOOT_MODE.number(result.performed)
            return instance_service_pb2.RebootInstanceResponse(instance=instance, performed=performed)
        case Verb.IMPORT_IMAGE if result.image is not None:
            return resources.image_to_wire(result.image)
        case Verb.CREATE if instance is not None:
            return instance
        case _:
            return Empty()


def _progress_to_wire(progress: Progress) -> operation_pb2.Progress:
    return operation_pb2.Progress(done_bytes=progress.done_bytes, total_bytes=progress.total_bytes)


def progress(message: operation_pb2.Progress) -> Progress:
    """As it is."""
    return Progress(done_bytes=message.done_bytes, total_bytes=message.total_bytes)


def _step_to_wire(step: Step, trace_id: str) -> operation_pb2.Step:
    return operation_pb2.Step(
        name=step.name,
        state=values.STEP_STATE.number(step.state),
        attempt=step.attempt,
        start_time=values.timestamp(step.start_time),
        end_time=values.timestamp(step.end_time),
        detail=step.detail,
        error=resources.failure_to_wire(step.error, trace_id) if step.error else None,
    )


def step(message: operation_pb2.Step) -> Step:
    """As a peer tells of it."""
    error = Failure.of(status.from_status(message.error)) if message.HasField("error") else None
    return Step(
        name=message.name,
        state=values.STEP_STATE.word(message.state) or StepState.RUNNING,
        attempt=message.attempt,
        start_time=values.moment(message, "start_time"),
        end_time=values.moment(message, "end_time"),
        detail=message.detail,
        error=error,
    )
