"""The door of compute_svc: translate, call, translate."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from protostar.compute.v1 import compute_pb2 as pb
from protostar.compute.v1 import compute_pb2_grpc

from compute_svc.domain import power
from compute_svc.domain.results import Deleted, Rebooted, Started, Stopped
from compute_svc.domain.steps import Verb
from compute_svc.rpc import translate
from compute_svc.usecases import console
from compute_svc.usecases.delete import delete
from compute_svc.usecases.host import Host
from compute_svc.usecases.progress import Progress
from compute_svc.usecases.reboot import SOFT_TIMEOUT, reboot
from compute_svc.usecases.start import start
from compute_svc.usecases.stop import stop
from compute_svc.usecases.watch import HostWatch
from compute_svc.usecases.works import Works

R = TypeVar("R")


@dataclass(frozen=True, kw_only=True)
class ComputeServicer(compute_pb2_grpc.ComputeServiceServicer):
    """protostar.compute.v1.ComputeService."""

    host: Host
    works: Works
    watching: HostWatch
    draining: asyncio.Event

    async def StartInstance(self, request: pb.StartInstanceRequest, context: Any) -> AsyncIterator[Any]:
        command, spec = translate.command(request.command, self.host.clock()), translate.spec(request.spec)
        progress = await self.works.perform(
            Verb.START, spec.uid, command, lambda run: start(run, self.host, spec, repair=request.repair)
        )
        async for event in _events(progress, pb.StartInstanceResponse, Started, translate.started):
            yield event

    async def StopInstance(self, request: pb.StopInstanceRequest, context: Any) -> AsyncIterator[Any]:
        command, uid = translate.command(request.command, self.host.clock()), translate.uid(request.uid)
        asked = translate.seconds(request.grace_period) if request.HasField("grace_period") else None
        grace, mode = power.shutdown_timeout(asked, {}), translate.stop_mode(request.mode)
        progress = await self.works.perform(
            Verb.STOP, uid, command, lambda run: stop(run, self.host, mode=mode, grace=grace)
        )
        async for event in _events(progress, pb.StopInstanceResponse, Stopped, translate.stopped):
            yield event

    async def RebootInstance(self, request: pb.RebootInstanceRequest, context: Any) -> AsyncIterator[Any]:
        command, spec = translate.command(request.command, self.host.clock()), translate.spec(request.spec)
        timeout = translate.seconds(request.soft_timeout) if request.HasField("soft_timeout") else SOFT_TIMEOUT
        mode = translate.reboot_mode(request.mode)
        progress = await self.works.perform(
            Verb.REBOOT, spec.uid, command, lambda run: reboot(run, self.host, spec, mode=mode, soft_timeout=timeout)
        )
        async for event in _events(progress, pb.RebootInstanceResponse, Rebooted, translate.rebooted):
            yield event

    async def DeleteInstance(self, request: pb.DeleteInstanceRequest, context: Any) -> AsyncIterator[Any]:
        command, uid = translate.command(request.command, self.host.clock()), translate.uid(request.uid)
        progress = await self.works.perform(Verb.DELETE, uid, command, lambda run: delete(run, self.host))
        async for event in _events(progress, pb.DeleteInstanceResponse, Deleted, lambda _: pb.DeleteResult()):
            yield event

    async def CancelOperation(self, request: pb.CancelOperationRequest, context: Any) -> pb.CancelOperationResponse:
        found = await self.works.cancel(translate.uid(request.uid), translate.uid(request.operation, "operation"))
        return pb.CancelOperationResponse(found=found)

    async def GetConsoleOutput(self, request: pb.GetConsoleOutputRequest, context: Any) -> pb.GetConsoleOutputResponse:
        output, truncated = await console.output(self.host, translate.uid(request.uid), request.max_bytes)
        return pb.GetConsoleOutputResponse(output=output, truncated=truncated)

    async def WatchHost(self, request: pb.WatchHostRequest, context: Any) -> AsyncIterator[pb.WatchHostResponse]:
        async for event in self.watching.watch(self.draining):
            yield translate.told(event)


async def _events(
    progress: Progress, response: Callable[..., Any], kind: type[R], result: Callable[[R], Any]
) -> AsyncIterator[Any]:
    async for event in progress.follow():
        if isinstance(event, tuple):
            yield response(steps=pb.Steps(steps=[translate.step(step) for step in event]))
        elif isinstance(event, kind):
            yield response(result=result(event))
