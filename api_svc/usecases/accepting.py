"""What every acceptance does: write who holds the instance now, and how an operation looks when it is new."""

from __future__ import annotations

from dataclasses import replace

from api_svc.domain import admission, event, lifecycle, plan
from api_svc.domain.commands import Envelope
from api_svc.domain.failure import Failure
from api_svc.domain.instance import Instance
from api_svc.domain.operation import Lease, Operation, Request, Result
from api_svc.domain.policy import Caller
from api_svc.domain.states import OperationState, WaitingFor
from api_svc.ports import Session
from api_svc.usecases.board import Board


async def claim(
    session: Session, board: Board, instance: Instance, begun: Instance, operation: Operation
) -> Operation | None:
    """Write that `operation` holds the instance; answer the operation that it took over from, which has ended by it.

    :raise Aborted: CONCURRENT_UPDATE.
    """
    if not await session.instances.save(begun, expected_version=instance.version):
        raise admission.concurrent_update(instance)
    superseded = None
    if instance.current_operation:
        superseded = await _supersede(session, board, begun, instance.current_operation, operation)
    await session.operations.add(operation)
    await session.events.add(event.of_operation(operation, begun, "start", operation.create_time))
    return superseded


async def _supersede(session: Session, board: Board, begun: Instance, holder: str, by: Operation) -> Operation | None:
    older = await session.operations.find(holder)
    if older is None:
        return None
    live = board.live(older.uid)
    ended = replace(
        older,
        steps=live.steps if live else older.steps,
        state=OperationState.SUPERSEDED,
        error=Failure.of(lifecycle.superseded(older, by.uid)),
        end_time=by.create_time,
        lease=None,
        waiting_for=WaitingFor.NOTHING,
    )
    if not await session.operations.save(ended):
        return None
    await session.events.add(event.of_operation(ended, begun, "error", by.create_time))
    return ended


async def claim_new(session: Session, instance: Instance, operation: Operation) -> None:
    """Write a new instance, which `operation` holds. :raise AlreadyExists: INSTANCE_ALREADY_EXISTS."""
    await session.instances.add(instance)
    await session.operations.add(operation)
    await session.events.add(event.of_operation(operation, instance, "start", operation.create_time))


def request_of(caller: Caller, envelope: Envelope) -> Request | None:
    """Which request it is; None for one without an id."""
    if not envelope.request_id:
        return None
    return Request(scope=caller.project, id=envelope.request_id, digest=envelope.digest)


def leased(operation: Operation, lease: Lease | None) -> Operation:
    """Its first attempt belongs to the replica that accepted it, if that has room."""
    return replace(operation, lease=lease, attempt=1) if lease else operation


def as_plan(operation: Operation, result: Result) -> Operation:
    """The finished, nameless answer to validate_only: what would be done, and to what."""
    return replace(
        operation,
        uid="",
        state=OperationState.SUCCEEDED,
        steps=operation.steps or plan.steps_of(operation.task),
        waiting_for=WaitingFor.NOTHING,
        request=None,
        result=result,
    )
