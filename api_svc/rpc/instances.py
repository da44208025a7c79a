"""protostar.api.v1.InstanceService."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from google.longrunning import operations_pb2
from protostar.api.v1 import instance_pb2, instance_service_pb2, instance_service_pb2_grpc

from api_svc.rpc.identity import caller_of
from api_svc.translate import requests, resources
from api_svc.translate.operations import operation_to_wire
from api_svc.usecases.changes import Changes
from api_svc.usecases.commands import Commands
from api_svc.usecases.create import Creation
from api_svc.usecases.events import Events
from api_svc.usecases.reading import Reading
from svckit import names
from svckit.clock import Clock
from svckit.errors import InvalidArgument


class InstanceServicer(instance_service_pb2_grpc.InstanceServiceServicer):
    """A doorway: translate, call, translate."""

    def __init__(
        self,
        commands: Commands,
        creation: Creation,
        changes: Changes,
        reading: Reading,
        events: Events,
        clock: Clock,
    ) -> None:
        self._commands = commands
        self._creation = creation
        self._changes = changes
        self._reading = reading
        self._events = events
        self._clock = clock

    async def CreateInstance(
        self, request: instance_service_pb2.CreateInstanceRequest, context: Any
    ) -> operations_pb2.Operation:
        caller = caller_of(context)
        command = requests.create(request, self._clock())
        return operation_to_wire(await self._creation.create(caller, command))

    async def DeleteInstance(
        self, request: instance_service_pb2.DeleteInstanceRequest, context: Any
    ) -> operations_pb2.Operation:
        caller = caller_of(context)
        command = requests.delete(request, self._clock())
        return operation_to_wire(await self._commands.accept(caller, command))

    async def StartInstance(
        self, request: instance_service_pb2.StartInstanceRequest, context: Any
    ) -> operations_pb2.Operation:
        caller = caller_of(context)
        command = requests.start(request, self._clock())
        return operation_to_wire(await self._commands.accept(caller, command))

    async def StopInstance(
        self, request: instance_service_pb2.StopInstanceRequest, context: Any
    ) -> operations_pb2.Operation:
        caller = caller_of(context)
        command = requests.stop(request, self._clock())
        return operation_to_wire(await self._commands.accept(caller, command))

    async def RebootInstance(
        self, request: instance_service_pb2.RebootInstanceRequest, context: Any
    ) -> operations_pb2.Operation:
        caller = caller_of(context)
        command = requests.reboot(request, self._clock())
        return operation_to_wire(await self._commands.accept(caller, command))

    async def GetInstance(
        self, request: instance_service_pb2.GetInstanceRequest, context: Any
    ) -> instance_pb2.Instance:
        caller = caller_of(context)
        uid = names.parse("instances", request.name)
        return resources.instance_to_wire(await self._reading.get(caller, uid))

    async def ListInstances(
        self, request: instance_service_pb2.ListInstancesRequest, context: Any
    ) -> instance_service_pb2.ListInstancesResponse:
        caller = caller_of(context)
        found, token = await self._reading.page(caller, request.page_size, request.page_token, request.filter)
        instances = [resources.instance_to_wire(each) for each in found]
        return instance_service_pb2.ListInstancesResponse(instances=instances, next_page_token=token)

    async def UpdateInstance(
        self, request: instance_service_pb2.UpdateInstanceRequest, context: Any
    ) -> instance_pb2.Instance:
        caller = caller_of(context)
        changed = await self._changes.update(caller, requests.update(request))
        return resources.instance_to_wire(self._reading.as_seen(changed))

    async def LockInstance(
        self, request: instance_service_pb2.LockInstanceRequest, context: Any
    ) -> instance_pb2.Instance:
        caller = caller_of(context)
        changed = await self._changes.lock(caller, requests.lock(request))
        return resources.instance_to_wire(self._reading.as_seen(changed))

    async def UnlockInstance(
        self, request: instance_service_pb2.UnlockInstanceRequest, context: Any
    ) -> instance_pb2.Instance:
        caller = caller_of(context)
        changed = await self._changes.unlock(caller, requests.unlock(request))
        return resources.instance_to_wire(self._reading.as_seen(changed))

    async def GetConsoleOutput(
        self, request: instance_service_pb2.GetConsoleOutputRequest, context: Any
    ) -> instance_service_pb2.GetConsoleOutputResponse:
        caller = caller_of(context)
        uid = names.parse("instances", request.name)
        if request.max_bytes < 0:
            raise InvalidArgument.field("max_bytes", f"must not be negative, got {request.max_bytes}")
        output, truncated = await self._reading.console(caller, uid, request.max_bytes)
        text = output.decode(errors="replace")
        return instance_service_pb2.GetConsoleOutputResponse(output=text, truncated=truncated)

    async def WatchInstances(
        self, request: instance_service_pb2.WatchInstancesRequest, context: Any
    ) -> AsyncIterator[instance_service_pb2.InstanceEvent]:
        caller = caller_of(context)
        uid = names.parse("instances", request.instance, "instance") if request.instance else ""
        # Headers at once: the watcher then knows that he watches.
        await context.send_initial_metadata(())
        async with contextlib.aclosing(self._events.watch(caller, request.cursor, uid)) as events:
            async for cursor, event in events:
                yield resources.event_to_wire(cursor, event)
