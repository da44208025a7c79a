"""Accepting start, stop, reboot and delete.

One transaction holds the compare-and-swap, the operation with its lease, and the event; then the answer goes out and
the work begins. Four statements: read, swap, operation, event.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from api_svc.domain import admission, lifecycle
from api_svc.domain.admission import Admitted, Verdict
from api_svc.domain.commands import InstanceCommand
from api_svc.domain.instance import Instance, Placed
from api_svc.domain.operation import Operation, Result
from api_svc.domain.policy import Caller
from api_svc.domain.states import OperationState, StopOutcome, Verb, WaitingFor
from api_svc.ports import Session, Store, Work
from api_svc.usecases.accepting import as_plan, claim, leased, request_of
from api_svc.usecases.board import Bell, Board
from api_svc.usecases.replay import replay
from svckit import tracing
from svckit.clock import Clock
from svckit.errors import ProtostarError
from svckit.failpoints import failpoint

Trace = Mapping[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Accepted:
    """What a transaction has made or found."""

    operation: Operation
    begun: Placed | None = None
    superseded: Operation | None = None


class Commands:
    """See the module."""

    def __init__(self, store: Store, work: Work, board: Board, bell: Bell, clock: Clock) -> None:
        self._store = store
        self._work = work
        self._board = board
        self._bell = bell
        self._clock = clock

    async def accept(self, caller: Caller, command: InstanceCommand) -> Operation:
        """The operation that does it; for validate_only, its plan.

        A request whose id was used before is answered with the operation it made then (AIP-155).

        :raise ProtostarError: the first check of design §5 that fails; nothing has changed.
        """
        if command.envelope.validate_only:
            return await self._plan(caller, command)
        trace = tracing.carrier()  # before the transaction, whose span is not what the work is part of
        try:
            async with self._store.transaction() as session:
                accepted = await self._accept(session, caller, command, trace)
        except ProtostarError as refusal:
            return await replay(self._store, caller, command.envelope, refusal)
        await failpoint("api.accept.after_commit")
        self._begin(accepted)
        return accepted.operation

    async def _plan(self, caller: Caller, command: InstanceCommand) -> Operation:
        async with self._store.reading() as session:
            admitted = admission.admit(caller, await session.instances.find(command.uid), command)
        instance = admitted.placed.instance
        operation = _operation(caller, instance, command, self._clock(), tracing.carrier())
        if admitted.verdict is Verdict.BEGIN:
            return as_plan(operation, Result(instance=instance))
        return replace(as_plan(operation, Result(instance=instance)), no_op=True, steps=())

    async def _accept(self, session: Session, caller: Caller, command: InstanceCommand, trace: Trace) -> _Accepted:
        admitted = admission.admit(caller, await session.instances.find(command.uid), command)
        match admitted.verdict:
            case Verdict.JOIN:
                return await self._join(session, admitted)
            case Verdict.ALREADY_THERE:
                return await self._no_op(session, caller, admitted.placed.instance, command, trace)
            case Verdict.BEGIN:
                return await self._claim(session, caller, admitted.placed, command, trace)

    async def _join(self, session: Session, admitted: Admitted) -> _Accepted:
        running = await session.operations.find(admitted.placed.instance.current_operation)
        if running is None:
            raise admission.concurrent_update(admitted.placed.instance)
        return _Accepted(operation=running)

    async def _no_op(
        self, session: Session, caller: Caller, instance: Instance, command: InstanceCommand, trace: Trace
    ) -> _Accepted:
        operation = _no_op(_operation(caller, instance, command, self._clock(), trace), instance)
        await session.operations.add(operation)
        return _Accepted(operation=operation)

    async def _claim(
        self, session: Session, caller: Caller, placed: Placed, command: InstanceCommand, trace: Trace
    ) -> _Accepted:
        now = self._clock()
        operation = leased(_operation(caller, placed.instance, command, now, trace), self._work.lease())
        begun = lifecycle.begin(placed.instance, command.task, operation.uid, now)
        operation = replace(operation, generation=begun.generation)
        superseded = await claim(session, self._board, placed.instance, begun, operation)
        return _Accepted(operation=operation, begun=Placed(instance=begun, host=placed.host), superseded=superseded)

    def _begin(self, accepted: _Accepted) -> None:
        if accepted.superseded is not None:
            self._work.superseded(accepted.superseded)
        if accepted.begun is not None:
            self._bell.ring()
            self._work.take(accepted.operation, accepted.begun)


def _operation(caller: Caller, instance: Instance, command: InstanceCommand, now: datetime, trace: Trace) -> Operation:
    return Operation(
        uid=str(uuid.uuid4()),
        verb=command.verb,
        target=instance.name,
        project=instance.project,
        actor=caller.name,
        host=instance.host,
        task=command.task,
        create_time=now,
        deadline=command.deadline,
        not_before=now,
        parameters=command.parameters,
        trace=trace,
        generation=instance.generation,
        request=request_of(caller, command.envelope),
    )


def _no_op(operation: Operation, instance: Instance) -> Operation:
    """The finished operation of a command that found everything as it wants it."""
    stop = StopOutcome.ALREADY_OFF if operation.verb is Verb.STOP else None
    return replace(
        operation,
        state=OperationState.SUCCEEDED,
        no_op=True,
        waiting_for=WaitingFor.NOTHING,
        start_time=operation.create_time,
        end_time=operation.create_time,
        result=Result(instance=instance, outcome=stop),
    )
