"""A public API that keeps everything in memory: real protos over a real socket, behaviour as a test wants it."""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import grpc
from google.longrunning import operations_pb2, operations_pb2_grpc
from google.protobuf import empty_pb2
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from protostar.api.v1 import (
    host_pb2,
    host_pb2_grpc,
    image_pb2,
    image_pb2_grpc,
    instance_pb2,
    instance_service_pb2,
    instance_service_pb2_grpc,
    network_pb2,
    network_pb2_grpc,
    operation_pb2,
    operation_pb2_grpc,
    volume_pb2,
    volume_pb2_grpc,
)

from svckit import listing, status
from svckit.errors import NotFound, ProtostarError

NAMES = ("operations", "instances", "images", "networks", "ports", "volumes")
BEGAN = 1_790_000_000


@dataclass
class Script:
    """What an operation does when it is followed: its steps end one by one, then it fails or succeeds."""

    steps: Sequence[str] = ("claim", "backing", "launch")
    error: ProtostarError | None = None
    hold: bool = False
    waiting_for: str = ""


@dataclass
class Call:
    """A call that came in."""

    method: str
    request: Any
    metadata: Mapping[str, str]


@dataclass
class FakeApi:
    """Serves at `address` in a thread of its own, while used as a context manager."""

    address: str = ""
    calls: list[Call] = field(default_factory=list)
    script: Script = field(default_factory=Script)
    refusal: ProtostarError | None = None
    console: list[str] = field(default_factory=lambda: ["hello\n"])
    events: list[instance_service_pb2.InstanceEvent] = field(default_factory=list)
    breaks: int = 0
    stored: dict[str, dict[str, Any]] = field(default_factory=lambda: {name: {} for name in NAMES})
    trace_id: str = "0" * 31 + "1"

    def __enter__(self) -> Self:
        started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(started)), daemon=True)
        self._thread.start()
        assert started.wait(20)
        return self

    def __exit__(self, *exc: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(20)

    def add(self, collection: str, message: Any) -> Any:
        """Have something that was there before."""
        message.uid = message.uid or str(uuid.uuid4())
        message.name = f"{collection}/{message.uid}"
        self.stored[collection][message.name] = message
        return message

    def instance(self, name: str, **fields: Any) -> Any:
        """Have an instance."""
        fields = {"vm_state": instance_pb2.VM_STATE_STOPPED, "task_state": instance_pb2.TASK_STATE_NONE, **fields}
        return self.add("instances", instance_pb2.Instance(display_name=name, **fields))

    def called(self, method: str) -> Any:
        """The one request of this method."""
        (request,) = (call.request for call in self.calls if call.method == method)
        return request

    async def _serve(self, started: threading.Event) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = grpc.aio.server()
        for add, servicer in (
            (instance_service_pb2_grpc.add_InstanceServiceServicer_to_server, _Instances(self)),
            (image_pb2_grpc.add_ImageServiceServicer_to_server, _Images(self)),
            (network_pb2_grpc.add_NetworkServiceServicer_to_server, _Networks(self)),
            (volume_pb2_grpc.add_VolumeServiceServicer_to_server, _Volumes(self)),
            (host_pb2_grpc.add_HostServiceServicer_to_server, _Hosts(self)),
            (operation_pb2_grpc.add_OperationServiceServicer_to_server, _Progress(self)),
            (operations_pb2_grpc.add_OperationsServicer_to_server, _Operations(self)),
        ):
            add(servicer, server)  # type: ignore[operator]
        healthy = health.aio.HealthServicer()
        await healthy.set("", health_pb2.HealthCheckResponse.SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(healthy, server)
        self.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        await server.start()
        started.set()
        await self._stop.wait()
        await server.stop(0)

    async def came(self, method: str, request: Any, context: Any) -> None:
        """Note a call; refuse it if the test wants that."""
        metadata = {key: value for key, value in context.invocation_metadata() if isinstance(value, str)}
        self.calls.append(Call(method, request, metadata))
        if self.refusal is not None and not method.startswith(("List", "Get")):
            await refuse(context, self.refusal, self.trace_id)

    def begin(self, verb: int, target: str, response: Message, **fields: Any) -> operations_pb2.Operation:
        """A new operation; its response is what it will have when it is done."""
        metadata = operation_pb2.OperationMetadata(
            verb=verb,  # type: ignore[arg-type]
            target=target,
            state=operation_pb2.OPERATION_STATE_RUNNING,
            trace_id=self.trace_id,
            create_time=Timestamp(seconds=BEGAN),
            waiting_for=self.script.waiting_for,
            **fields,
        )
        if metadata.validate_only:
            metadata.steps.extend(
                operation_pb2.Step(name=name, state=operation_pb2.STEP_STATE_PLANNED) for name in self.script.steps
            )
            done = operations_pb2.Operation(done=True)
            done.metadata.Pack(metadata)
            return done
        operation = operations_pb2.Operation(name=f"operations/{uuid.uuid4()}")
        operation.metadata.Pack(metadata)
        operation.response.Pack(response)
        self.stored["operations"][operation.name] = operation
        return self._unfinished(operation)

    def states(self, operation: operations_pb2.Operation) -> list[operations_pb2.Operation]:
        """The operation as a watcher sees it, change by change."""
        seen = [self._unfinished(operation)]
        for place, name in enumerate(self.script.steps):
            metadata = _metadata(seen[-1])
            start = Timestamp(seconds=BEGAN + place)
            metadata.steps.append(
                operation_pb2.Step(name=name, state=operation_pb2.STEP_STATE_DONE, attempt=1, start_time=start)
            )
            metadata.steps[-1].end_time.CopyFrom(Timestamp(seconds=BEGAN + place, nanos=250_000_000))
            seen.append(self._with(seen[-1], metadata))
        return seen if self.script.hold else [*seen, self._finished(operation, seen[-1])]

    def _finished(
        self, operation: operations_pb2.Operation, last: operations_pb2.Operation
    ) -> operations_pb2.Operation:
        metadata = _metadata(last)
        metadata.end_time.CopyFrom(Timestamp(seconds=BEGAN + 3))
        metadata.waiting_for = ""
        metadata.state = operation_pb2.OPERATION_STATE_SUCCEEDED
        finished = operations_pb2.Operation(name=operation.name, done=True)
        if self.script.error is None:
            finished.response.CopyFrom(operation.response)
        else:
            metadata.state = operation_pb2.OPERATION_STATE_FAILED
            metadata.steps[-1].state = operation_pb2.STEP_STATE_FAILED
            finished.error.CopyFrom(status.to_status(self.script.error, self.trace_id))
            metadata.steps[-1].error.CopyFrom(finished.error)
        finished.metadata.Pack(metadata)
        self.stored["operations"][operation.name] = finished
        return finished

    def _unfinished(self, operation: operations_pb2.Operation) -> operations_pb2.Operation:
        return operations_pb2.Operation(name=operation.name, metadata=operation.metadata)

    def _with(
        self, operation: operations_pb2.Operation, metadata: operation_pb2.OperationMetadata
    ) -> operations_pb2.Operation:
        changed = operations_pb2.Operation(name=operation.name)
        changed.metadata.Pack(metadata)
        return changed

    async def find(self, collection: str, name: str, context: Any) -> Any:
        """What has this name, or the refusal of it."""
        if name not in self.stored[collection]:
            await refuse(context, NotFound.of(collection[:-1], name), self.trace_id)
        return self.stored[collection][name]

    async def page(self, collection: str, request: Any, answer: Any, context: Any) -> Any:
        """A page of a collection; the filter knows what the command uses."""
        await self.came(f"List{collection.capitalize()}", request, context)
        entries = list(self.stored[collection].values())
        wanted = listing.parse_filter(request.filter, ("display_name", "power_state"))
        for comparison in wanted:
            entries = [entry for entry in entries if _value(entry, comparison.field) == comparison.value]
        begin = int(request.page_token or 0)
        size = listing.page_size(request.page_size)
        getattr(answer, collection).extend(entries[begin : begin + size])
        answer.next_page_token = str(begin + size) if begin + size < len(entries) else ""
        return answer


def _value(entry: Any, name: str) -> str:
    value = getattr(entry, name)
    if isinstance(value, str):
        return value
    return str(instance_pb2.PowerState.Name(value)).removeprefix("POWER_STATE_")


def _metadata(operation: operations_pb2.Operation) -> operation_pb2.OperationMetadata:
    metadata = operation_pb2.OperationMetadata()
    operation.metadata.Unpack(metadata)
    return metadata


async def refuse(context: Any, error: ProtostarError, trace_id: str) -> None:
    """End a call as svckit's interceptor does."""
    known = status.to_status(error, trace_id)
    codes: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}
    await context.abort(codes[known.code], known.message, (status.trailing_metadata(known),))


class _Instances(instance_service_pb2_grpc.InstanceServiceServicer):
    def __init__(self, api: FakeApi) -> None:
        self._api = api

    async def CreateInstance(self, request: Any, context: Any) -> Any:
        await self._api.came("CreateInstance", request, context)
        made = instance_pb2.Instance()
        made.CopyFrom(request.instance)
        made.vm_state = instance_pb2.VM_STATE_ACTIVE
        if not request.validate_only:
            self._api.add("instances", made)
        return self._api.begin(operation_pb2.VERB_CREATE, made.name, made, validate_only=request.validate_only)

    async def GetInstance(self, request: Any, context: Any) -> Any:
        return await self._api.find("instances", request.name, context)

    async def ListInstances(self, request: Any, context: Any) -> Any:
        return await self._api.page("instances", request, instance_service_pb2.ListInstancesResponse(), context)

    async def UpdateInstance(self, request: Any, context: Any) -> Any:
        await self._api.came("UpdateInstance", request, context)
        found = await self._api.find("instances", request.instance.name, context)
        found.metadata.clear()
        found.metadata.update(request.instance.metadata)
        found.display_name = request.instance.display_name
        return found

    async def DeleteInstance(self, request: Any, context: Any) -> Any:
        return await self._verb(
            "DeleteInstance", operation_pb2.VERB_DELETE, request, context, lambda _: empty_pb2.Empty()
        )

    async def StartInstance(self, request: Any, context: Any) -> Any:
        return await self._verb("StartInstance", operation_pb2.VERB_START, request, context, _started)

    async def StopInstance(self, request: Any, context: Any) -> Any:
        return await self._verb("StopInstance", operation_pb2.VERB_STOP, request, context, _stopped)

    async def RebootInstance(self, request: Any, context: Any) -> Any:
        return await self._verb("RebootInstance", operation_pb2.VERB_REBOOT, request, context, _rebooted)

    async def LockInstance(self, request: Any, context: Any) -> Any:
        await self._api.came("LockInstance", request, context)
        found = await self._api.find("instances", request.name, context)
        found.locked, found.lock_reason = True, request.reason
        return found

    async def UnlockInstance(self, request: Any, context: Any) -> Any:
        await self._api.came("UnlockInstance", request, context)
        found = await self._api.find("instances", request.name, context)
        found.locked, found.lock_reason = False, ""
        return found

    async def WatchInstances(self, request: Any, context: Any) -> AsyncIterator[Any]:
        await self._api.came("WatchInstances", request, context)
        known = [event.cursor for event in self._api.events]
        begin = known.index(request.cursor) + 1 if request.cursor in known else 0
        for place, event in enumerate(self._api.events[begin:]):
            if place == 1 and self._api.breaks > 0:
                self._api.breaks -= 1
                await context.abort(grpc.StatusCode.UNAVAILABLE, "going away")
            yield event
        await context.abort(grpc.StatusCode.PERMISSION_DENIED, "no more in this test")

    async def GetConsoleOutput(self, request: Any, context: Any) -> Any:
        await self._api.came("GetConsoleOutput", request, context)
        await self._api.find("instances", request.name, context)
        if not self._api.console:
            await refuse(context, NotFound.of("instance", request.name), self._api.trace_id)
        text = self._api.console[0] if len(self._api.calls) == 1 else self._api.console.pop(0)
        return instance_service_pb2.GetConsoleOutputResponse(output=text)

    async def _verb(
        self, method: str, verb: int, request: Any, context: Any, response: Callable[[Any], Message]
    ) -> Any:
        await self._api.came(method, request, context)
        found = await self._api.find("instances", request.name, context)
        return self._api.begin(verb, found.name, response(found), validate_only=request.validate_only)


def _started(found: Any) -> Message:
    found.vm_state = instance_pb2.VM_STATE_ACTIVE
    return instance_service_pb2.StartInstanceResponse(instance=found, fast_start=True)


def _stopped(found: Any) -> Message:
    found.vm_state = instance_pb2.VM_STATE_STOPPED
    outcome = instance_service_pb2.STOP_OUTCOME_GUEST_STOPPED
    return instance_service_pb2.StopInstanceResponse(instance=found, outcome=outcome)


def _rebooted(found: Any) -> Message:
    return instance_service_pb2.RebootInstanceResponse(instance=found, performed=instance_service_pb2.REBOOT_MODE_HARD)


class _Images(image_pb2_grpc.ImageServiceServicer):
    def __init__(self, api: FakeApi) -> None:
        self._api = api

    async def ImportImage(self, request: Any, context: Any) -> Any:
        await self._api.came("ImportImage", request, context)
        image = image_pb2.Image(disk_format="qcow2", size_bytes=13 * 2**20)
        image.MergeFrom(request.image)
        self._api.add("images", image)
        return self._api.begin(operation_pb2.VERB_IMPORT_IMAGE, image.name, image)

    async def GetImage(self, request: Any, context: Any) -> Any:
        return await self._api.find("images", request.name, context)

    async def ListImages(self, request: Any, context: Any) -> Any:
        return await self._api.page("images", request, image_pb2.ListImagesResponse(), context)

    async def DeleteImage(self, request: Any, context: Any) -> Any:
        await self._api.came("DeleteImage", request, context)
        await self._api.find("images", request.name, context)
        del self._api.stored["images"][request.name]
        return image_pb2.DeleteImageResponse()


class _Networks(network_pb2_grpc.NetworkServiceServicer):
    def __init__(self, api: FakeApi) -> None:
        self._api = api

    async def CreateNetwork(self, request: Any, context: Any) -> Any:
        await self._api.came("CreateNetwork", request, context)
        return self._api.add("networks", request.network)

    async def GetNetwork(self, request: Any, context: Any) -> Any:
        return await self._api.find("networks", request.name, context)

    async def ListNetworks(self, request: Any, context: Any) -> Any:
        return await self._api.page("networks", request, network_pb2.ListNetworksResponse(), context)

    async def DeleteNetwork(self, request: Any, context: Any) -> Any:
        await self._api.came("DeleteNetwork", request, context)
        del self._api.stored["networks"][request.name]
        return network_pb2.DeleteNetworkResponse()

    async def CreatePort(self, request: Any, context: Any) -> Any:
        await self._api.came("CreatePort", request, context)
        return self._api.add("ports", request.port)

    async def GetPort(self, request: Any, context: Any) -> Any:
        return await self._api.find("ports", request.name, context)

    async def ListPorts(self, request: Any, context: Any) -> Any:
        return await self._api.page("ports", request, network_pb2.ListPortsResponse(), context)

    async def DeletePort(self, request: Any, context: Any) -> Any:
        await self._api.came("DeletePort", request, context)
        del self._api.stored["ports"][request.name]
        return network_pb2.DeletePortResponse()


class _Volumes(volume_pb2_grpc.VolumeServiceServicer):
    def __init__(self, api: FakeApi) -> None:
        self._api = api

    async def CreateVolume(self, request: Any, context: Any) -> Any:
        await self._api.came("CreateVolume", request, context)
        return self._api.add("volumes", request.volume)

    async def GetVolume(self, request: Any, context: Any) -> Any:
        return await self._api.find("volumes", request.name, context)

    async def ListVolumes(self, request: Any, context: Any) -> Any:
        return await self._api.page("volumes", request, volume_pb2.ListVolumesResponse(), context)

    async def DeleteVolume(self, request: Any, context: Any) -> Any:
        await self._api.came("DeleteVolume", request, context)
        del self._api.stored["volumes"][request.name]
        return volume_pb2.DeleteVolumeResponse()

    async def AttachVolume(self, request: Any, context: Any) -> Any:
        await self._api.came("AttachVolume", request, context)
        found = await self._api.find("volumes", request.name, context)
        found.attachment.CopyFrom(volume_pb2.Attachment(instance=request.instance, device=request.device or "vdb"))
        return found

    async def DetachVolume(self, request: Any, context: Any) -> Any:
        await self._api.came("DetachVolume", request, context)
        found = await self._api.find("volumes", request.name, context)
        found.ClearField("attachment")
        return found


class _Hosts(host_pb2_grpc.HostServiceServicer):
    def __init__(self, api: FakeApi) -> None:
        self._api = api

    async def ListHosts(self, request: Any, context: Any) -> Any:
        host = host_pb2.Host(name="hosts/here", state=host_pb2.HOST_STATE_UP, domain_type="test", connection="test:///")
        return host_pb2.ListHostsResponse(hosts=[host])


class _Progress(operation_pb2_grpc.OperationServiceServicer):
    def __init__(self, api: FakeApi) -> None:
        self._api = api

    async def WatchOperation(self, request: Any, context: Any) -> AsyncIterator[Any]:
        await self._api.came("WatchOperation", request, context)
        operation = await self._api.find("operations", request.name, context)
        for place, state in enumerate([operation] if operation.done else self._api.states(operation)):
            if place == 2 and self._api.breaks > 0:
                self._api.breaks -= 1
                await context.abort(grpc.StatusCode.UNAVAILABLE, "going away")
            yield operation_pb2.WatchOperationResponse(operation=state)
        if self._api.script.hold:
            await asyncio.sleep(3600)


class _Operations(operations_pb2_grpc.OperationsServicer):
    def __init__(self, api: FakeApi) -> None:
        self._api = api

    async def GetOperation(self, request: Any, context: Any) -> Any:
        found = await self._api.find("operations", request.name, context)
        return found if found.done else operations_pb2.Operation(name=found.name, metadata=found.metadata)

    async def ListOperations(self, request: Any, context: Any) -> Any:
        return await self._api.page("operations", request, operations_pb2.ListOperationsResponse(), context)

    async def CancelOperation(self, request: Any, context: Any) -> Any:
        await self._api.came("CancelOperation", request, context)
        return empty_pb2.Empty()
