"""compute_svc of every host: commands as streams of steps, and what the host tells of itself."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from datetime import UTC
from typing import Any

import grpc
from protostar.compute.v1 import compute_pb2, compute_pb2_grpc

from api_svc.adapters.peer import calling
from api_svc.domain.instance import Instance
from api_svc.domain.lifecycle import Outcome
from api_svc.domain.observation import Observation
from api_svc.domain.operation import Operation, Result, Step
from api_svc.domain.states import PowerState, Verb
from api_svc.ports import Ended, HostNews, Job
from api_svc.translate import operations, resources, values
from svckit import channel

_CALL_SECONDS = 10.0


class ComputeClient:
    """See `ports.Compute`. One connection per host, made at its first call."""

    def __init__(self) -> None:
        self._channels: dict[str, grpc.aio.Channel] = {}

    async def perform(self, job: Job) -> AsyncGenerator[Step | Ended, None]:
        with calling(f"host {job.instance.host!r}"):
            call = _call(self._stub(job.address), job)
            ended: Ended | None = None
            try:
                # To the stream's own end: a call that is left after its result would be told as cancelled in the trace.
                async for message in call:
                    if message.HasField("steps"):
                        for step in message.steps.steps:
                            yield operations.step(step)
                    else:
                        ended = _ended(job.operation.verb, message.result)
            finally:
                call.cancel()
            if ended is not None:
                yield ended

    async def cancel(self, job: Job) -> bool:
        request = compute_pb2.CancelOperationRequest(operation=job.operation.uid, uid=job.instance.uid)
        with calling(f"host {job.instance.host!r}"):
            answer = await self._stub(job.address).CancelOperation(request, timeout=_CALL_SECONDS)
        return bool(answer.found)

    async def console(self, address: str, uid: str, max_bytes: int) -> tuple[bytes, bool]:
        request = compute_pb2.GetConsoleOutputRequest(uid=uid, max_bytes=max_bytes)
        with calling("the instance's host"):
            answer = await self._stub(address).GetConsoleOutput(request, timeout=_CALL_SECONDS)
        return answer.output, answer.truncated

    async def watch(self, address: str) -> AsyncGenerator[HostNews, None]:
        with calling(f"the host at {address}"):
            call: Any = self._stub(address).WatchHost(compute_pb2.WatchHostRequest())
            try:
                async for message in call:
                    yield _news(message)
            finally:
                call.cancel()

    async def close(self) -> None:
        """End every connection."""
        for each in self._channels.values():
            await each.close()

    def _stub(self, address: str) -> Any:
        if address not in self._channels:
            self._channels[address] = channel.connect(address)
        return compute_pb2_grpc.ComputeServiceStub(self._channels[address])


def _call(stub: Any, job: Job) -> Any:
    build, method = _REQUESTS[job.operation.verb]
    return getattr(stub, method)(build(job))


def _start(job: Job) -> compute_pb2.StartInstanceRequest:
    repair = job.operation.parameters.repair
    return compute_pb2.StartInstanceRequest(command=_command(job), spec=_spec(job.instance), repair=repair)


def _stop(job: Job) -> compute_pb2.StopInstanceRequest:
    parameters = job.operation.parameters
    return compute_pb2.StopInstanceRequest(
        command=_command(job),
        uid=job.instance.uid,
        mode=values.STOP_MODE.number(parameters.stop_mode),
        grace_period=values.duration(_grace_seconds(job)),
    )


def _reboot(job: Job) -> compute_pb2.RebootInstanceRequest:
    mode = values.REBOOT_MODE.number(job.operation.parameters.reboot_mode)
    return compute_pb2.RebootInstanceRequest(command=_command(job), spec=_spec(job.instance), mode=mode)


def _delete(job: Job) -> compute_pb2.DeleteInstanceRequest:
    return compute_pb2.DeleteInstanceRequest(command=_command(job), uid=job.instance.uid)


_REQUESTS: dict[Verb, tuple[Callable[[Job], Any], str]] = {
    Verb.CREATE: (_start, "StartInstance"),
    Verb.START: (_start, "StartInstance"),
    Verb.STOP: (_stop, "StopInstance"),
    Verb.REBOOT: (_reboot, "RebootInstance"),
    Verb.DELETE: (_delete, "DeleteInstance"),
}
# Nova: shutdown_timeout.
_DEFAULT_GRACE = 60.0


# Of the time that is left, what cutting the power may take.
_CUT_SECONDS = 15.0


def _grace_seconds(job: Job) -> float:
    """As asked for, else as the image wants it (Nova: os_shutdown_timeout), else 60 s; but the deadline comes first."""
    wanted = job.operation.parameters.grace_seconds
    if wanted is None:
        by_image = job.instance.spec.image_properties.get("os_shutdown_timeout", "")
        wanted = min(float(by_image), 3600.0) if by_image.isdecimal() else _DEFAULT_GRACE
    return min(wanted, max(job.time_left - _CUT_SECONDS, job.time_left / 2))


def _command(job: Job) -> compute_pb2.Command:
    operation: Operation = job.operation
    return compute_pb2.Command(
        operation=operation.uid,
        generation=operation.generation,
        attempt=operation.attempt,
        deadline=values.timestamp(operation.deadline),
        time_left=values.duration(job.time_left),
    )


def _spec(instance: Instance) -> compute_pb2.InstanceSpec:
    spec = instance.spec
    return compute_pb2.InstanceSpec(
        uid=instance.uid,
        display_name=instance.display_name,
        project=instance.project,
        user=instance.user,
        flavor=values.flavor_to_wire(spec.flavor),
        image=spec.image,
        image_properties=spec.image_properties,
        image_disk_format=spec.image_disk_format,
        config_drive=spec.config_drive,
        user_data=instance.user_data,
        metadata=instance.metadata,
    )


def _ended(verb: Verb, result: Any) -> Ended:
    match verb:
        case Verb.STOP:
            outcome = values.STOP_OUTCOME.word(result.outcome)
            return Ended(outcome=Outcome(power=_observation(result.power)), result=Result(outcome=outcome))
        case Verb.REBOOT:
            performed = values.REBOOT_MODE.word(result.performed)
            return Ended(outcome=_booted(result.start), result=Result(performed=performed))
        case Verb.DELETE:
            return Ended(outcome=Outcome())
        case _:
            return Ended(outcome=_booted(result), result=Result(fast_start=result.fast_start))


def _booted(result: compute_pb2.StartResult) -> Outcome:
    return Outcome(
        power=_observation(result.power),
        ports=values.ports(result.ports),
        volumes=values.volumes(result.volumes),
    )


def _observation(message: compute_pb2.PowerObservation) -> Observation:
    return Observation(
        uid=message.uid,
        power_state=values.POWER_STATE.word(message.power_state) or PowerState.UNKNOWN,
        observed_at=message.observed_at.ToDatetime(tzinfo=UTC),
        generation=message.generation,
        reason=message.reason,
    )


def _news(message: compute_pb2.WatchHostResponse) -> HostNews:
    match message.WhichOneof("event"):
        case "host":
            return HostNews(facts=resources.facts(message.host.host, message.host.boot_id))
        case "snapshot":
            return HostNews(snapshot=tuple(_observation(each) for each in message.snapshot.observations))
        case "observation":
            return HostNews(observation=_observation(message.observation))
        case _:
            return HostNews()
