"""Working at one claimed operation: an attempt, its verdict written, its metrics, its log lines, its span."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

import structlog
from opentelemetry import metrics

from api_svc.domain.instance import Instance
from api_svc.domain.judgement import End, Verdict
from api_svc.domain.operation import Operation
from api_svc.domain.states import WaitingFor
from api_svc.usecases.attempt import Attempt
from api_svc.usecases.settlement import LeaseLost, Settlement
from svckit import tracing
from svckit.errors import Aborted, ProtostarError, Unavailable
from svckit.failpoints import failpoint

log = structlog.get_logger(__name__)
_METER = metrics.get_meter("protostar")
_DURATION = _METER.create_histogram("protostar.operation.duration", unit="s", description="Operations that ended.")
_QUEUE_AGE = _METER.create_histogram("protostar.operation.queue.age", unit="s", description="Waits for an attempt.")


class Worker:
    """Has one attempt made and its verdict written, whatever happens."""

    def __init__(self, settlement: Settlement) -> None:
        self._settlement = settlement

    async def work(self, attempt: Attempt) -> Operation | None:
        """The operation as it was written; None when it is not ours any more, or was handed back.

        Cancelling hands the operation back, unless the attempt was told to stop.
        """
        _record_wait(attempt)
        try:
            with _logged(attempt.operation), _traced(attempt.operation):
                return await self._attempt(attempt)
        except asyncio.CancelledError:
            if not attempt.stopped:
                await self._hand_back(attempt)
        except LeaseLost:
            log.info("lease_lost", operation=attempt.operation.uid)
        except Exception:
            # Its lease runs out, and it is claimed again.
            log.exception("settling_failed", operation=attempt.operation.uid)
        return None

    async def _attempt(self, attempt: Attempt) -> Operation:
        verdict = await self._verdict(attempt)
        attempt.settling = True
        instance = attempt.placed.instance if attempt.placed else None
        settled = await self._settle(attempt.operation, instance, verdict)
        if settled.done:
            _record_end(settled)
        return settled

    async def _verdict(self, attempt: Attempt) -> Verdict:
        try:
            await failpoint("api.dispatch.before_call")
            verdict = await attempt.run()
            await failpoint("api.dispatch.after_call")
            return verdict
        except Exception:
            log.exception("attempt_failed")
            return Verdict(end=End.AGAIN, known=False, waiting_for=WaitingFor.RETRY)

    async def _settle(self, operation: Operation, instance: Instance | None, verdict: Verdict) -> Operation:
        """Write the verdict, however long the database is away: nobody else knows it."""
        delay = 0.1
        while True:
            try:
                return await self._settlement.settle(operation, instance, verdict)
            except (Unavailable, Aborted) as error:
                log.warning("settling_waits", error=error.message)
                await asyncio.sleep(delay)
                delay = min(delay * 2, 2.0)

    async def _hand_back(self, attempt: Attempt) -> None:
        with contextlib.suppress(LeaseLost, ProtostarError):
            await self._settlement.hand_back(attempt.operation)


@contextlib.contextmanager
def _logged(operation: Operation) -> Iterator[None]:
    with structlog.contextvars.bound_contextvars(operation=operation.uid, target=operation.target):
        yield


def _traced(operation: Operation) -> contextlib.AbstractContextManager[object]:
    """An attempt is a child of the call that was accepted, later ones too, and linked: one trace shows them all."""
    return tracing.span(
        f"operation {operation.verb.lower()}",
        {
            "protostar.operation": operation.uid,
            "protostar.instance": operation.target_uid,
            "protostar.attempt": operation.attempt,
        },
        parent=tracing.context_from(operation.trace),
        links=tracing.link_to(operation.trace) if operation.attempt > 1 else (),
    )


def _record_wait(attempt: Attempt) -> None:
    waited = (attempt.began - attempt.operation.not_before).total_seconds()
    _QUEUE_AGE.record(max(0.0, waited), {"protostar.verb": attempt.operation.verb})


def _record_end(operation: Operation) -> None:
    assert operation.end_time is not None
    seconds = (operation.end_time - operation.create_time).total_seconds()
    _DURATION.record(seconds, {"protostar.verb": operation.verb, "protostar.state": operation.state})
