"""The three services behind api_svc, in memory: real protos over a real socket, behaviour as a test wants it."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from protostar.api.v1 import host_pb2, image_pb2, instance_pb2, instance_service_pb2, network_pb2, operation_pb2
from protostar.compute.v1 import compute_pb2, compute_pb2_grpc
from protostar.image.v1 import image_pb2 as catalogue_pb2
from protostar.image.v1 import image_pb2_grpc as catalogue_pb2_grpc
from protostar.netblock.v1 import netblock_pb2, netblock_pb2_grpc

from svckit.errors import Aborted, Cancelled, NotFound, ProtostarError
from svckit.interceptors import ServerInterceptor

START = ("claim", "backing", "define", "launch", "running")
STOP = ("claim", "shutdown", "destroy")
REBOOT = ("claim", "shutdown", "launch", "running")
DELETE = ("claim", "destroy", "undefine", "disks")
RUNNING = instance_pb2.POWER_STATE_RUNNING
OFF = instance_pb2.POWER_STATE_SHUTDOWN


def now() -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(datetime.now(UTC))
    return stamp


@dataclass
class Guest:
    """A guest, and how it came to be as it is."""

    uid: str
    power: int = OFF
    generation: int = 0
    boots: int = 0
    operation: str = ""


@dataclass
class Work:
    """A piece of work of the host; it belongs to the host, not to the call that brought it."""

    guest: Guest
    command: compute_pb2.Command
    names: tuple[str, ...]
    told: list[operation_pb2.Step] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    error: ProtostarError | None = None
    done: bool = False
    task: asyncio.Task[None] | None = None


class FakeHost(compute_pb2_grpc.ComputeServiceServicer):
    """One host. `hold[step]` makes work wait before that step until it is set, `fail[step]` makes it fail there."""

    def __init__(self, name: str = "here") -> None:
        self.name = name
        self.boot_id = str(uuid.uuid4())
        self.guests: dict[str, Guest] = {}
        self.works: dict[str, Work] = {}
        self.requests: list[Any] = []
        self.hold: dict[str, asyncio.Event] = {}
        self.fail: dict[str, ProtostarError] = {}
        self.detail: dict[str, str] = {}
        self.break_after: str | None = None
        self.stop_outcome = instance_service_pb2.STOP_OUTCOME_GUEST_STOPPED
        self.watchers: list[asyncio.Queue[compute_pb2.WatchHostResponse]] = []
        self.heartbeat_seconds = 1.0

    # --- commands ---

    async def StartInstance(self, request: Any, context: Any) -> AsyncIterator[Any]:
        async for step in self._perform(request, request.spec.uid, START, context):
            yield compute_pb2.StartInstanceResponse(steps=compute_pb2.Steps(steps=[step]))
        yield compute_pb2.StartInstanceResponse(result=self._started(request.spec.uid))

    async def StopInstance(self, request: Any, context: Any) -> AsyncIterator[Any]:
        async for step in self._perform(request, request.uid, STOP, context):
            yield compute_pb2.StopInstanceResponse(steps=compute_pb2.Steps(steps=[step]))
        result = compute_pb2.StopResult(power=self.observation(request.uid), outcome=self.stop_outcome)
        yield compute_pb2.StopInstanceResponse(result=result)

    async def RebootInstance(self, request: Any, context: Any) -> AsyncIterator[Any]:
        async for step in self._perform(request, request.spec.uid, REBOOT, context):
            yield compute_pb2.RebootInstanceResponse(steps=compute_pb2.Steps(steps=[step]))
        result = compute_pb2.RebootResult(start=self._started(request.spec.uid), performed=request.mode)
        yield compute_pb2.RebootInstanceResponse(result=result)

    async def DeleteInstance(self, request: Any, context: Any) -> AsyncIterator[Any]:
        async for step in self._perform(request, request.uid, DELETE, context):
            yield compute_pb2.DeleteInstanceResponse(steps=compute_pb2.Steps(steps=[step]))
        self.guests.pop(request.uid, None)
        yield compute_pb2.DeleteInstanceResponse(result=compute_pb2.DeleteResult())

    async def CancelOperation(self, request: Any, context: Any) -> Any:
        self.requests.append(request)
        work = self.works.get(request.operation)
        if work is None or work.done or work.task is None:
            return compute_pb2.CancelOperationResponse(found=False)
        self._end(work, Cancelled("cancelled", metadata={"step": work.told[-1].name if work.told else ""}))
        return compute_pb2.CancelOperationResponse(found=True)

    async def GetConsoleOutput(self, request: Any, context: Any) -> Any:
        if request.uid not in self.guests:
            raise NotFound.of("console", request.uid)
        text = b"=== protostar: boot 1\n\xffhello"
        return compute_pb2.GetConsoleOutputResponse(output=text[-request.max_bytes :], truncated=False)

    async def _perform(
        self, request: Any, uid: str, names: tuple[str, ...], context: Any
    ) -> AsyncIterator[operation_pb2.Step]:
        self.requests.append(request)
        work = self._work(request, uid, names)
        index = 0
        while True:
            changed = work.changed
            while index < len(work.told):
                yield work.told[index]
                if work.told[index].name == self.break_after:
                    self.break_after = None
                    await context.abort(grpc.StatusCode.UNAVAILABLE, "the connection broke")
                index += 1
            if work.error is not None:
                raise work.error
            if work.done:
                return
            await changed.wait()

    def _work(self, request: Any, uid: str, names: tuple[str, ...]) -> Work:
        command = request.command
        known = self.works.get(command.operation)
        if known is not None:
            return known
        guest = self.guests.setdefault(uid, Guest(uid))
        if command.generation < guest.generation:
            raise Aborted("a newer command was seen", reason="STALE_GENERATION")
        self._supersede(guest)
        guest.generation, guest.operation = command.generation, command.operation
        work = self.works[command.operation] = Work(guest, command, names)
        work.task = asyncio.create_task(self._run(work, request))
        return work

    def _supersede(self, guest: Guest) -> None:
        older = self.works.get(guest.operation)
        if older is not None and not older.done:
            self._end(older, Aborted("a newer command took over", reason="SUPERSEDED"))

    async def _run(self, work: Work, request: Any) -> None:
        for name in work.names:
            self._tell(work, name, operation_pb2.STEP_STATE_RUNNING, self.detail.get(name, ""))
            if name in self.hold:
                await self.hold[name].wait()
            if name in self.fail:
                error = self.fail[name]
                self._tell(work, name, operation_pb2.STEP_STATE_FAILED)
                self._end(work, error.with_metadata(step=name))
                return
            self._act(work.guest, name)
            self._tell(work, name, operation_pb2.STEP_STATE_DONE)
        self._end(work, None)

    def _act(self, guest: Guest, step: str) -> None:
        if step == "launch":
            guest.power = RUNNING
            guest.boots += 1
        elif step in ("destroy", "shutdown"):
            guest.power = OFF

    def _tell(self, work: Work, name: str, state: Any, detail: str = "") -> None:
        ended = None if state == operation_pb2.STEP_STATE_RUNNING else now()
        step = operation_pb2.Step(name=name, state=state, start_time=now(), end_time=ended, detail=detail)
        step.attempt = work.command.attempt
        work.told.append(step)
        self._wake(work)

    def _end(self, work: Work, error: ProtostarError | None) -> None:
        work.error, work.done = error, True
        if work.task is not None and work.task is not asyncio.current_task():
            work.task.cancel()
        self._wake(work)

    def _wake(self, work: Work) -> None:
        work.changed.set()
        work.changed = asyncio.Event()

    def _started(self, uid: str) -> compute_pb2.StartResult:
        port = instance_pb2.InstancePort(
            port=f"ports/{uuid.uuid5(uuid.NAMESPACE_OID, uid)}",
            mac_address="52:54:00:00:00:01",
            ip_addresses=["10.0.0.5"],
        )
        return compute_pb2.StartResult(power=self.observation(uid), ports=[port], fast_start=self.guests[uid].boots > 1)

    def stage(self, operation: str) -> str:
        """The last step told of an operation, "" while it is not known here."""
        work = self.works.get(operation)
        return work.told[-1].name if work is not None and work.told else ""

    # --- watching ---

    async def WatchHost(self, request: Any, context: Any) -> AsyncIterator[compute_pb2.WatchHostResponse]:
        queue: asyncio.Queue[compute_pb2.WatchHostResponse] = asyncio.Queue()
        self.watchers.append(queue)
        try:
            yield compute_pb2.WatchHostResponse(host=self.facts())
            yield self.snapshot()
            while True:
                try:
                    async with asyncio.timeout(self.heartbeat_seconds):
                        news = await queue.get()
                except TimeoutError:
                    news = compute_pb2.WatchHostResponse(heartbeat=compute_pb2.Heartbeat(time=now()))
                yield news
        finally:
            self.watchers.remove(queue)

    def facts(self) -> compute_pb2.HostFacts:
        host = host_pb2.Host(
            name=self.name, connection="test:///default", domain_type="test", arch="x86_64", vcpus=16, memory_mib=8192
        )
        return compute_pb2.HostFacts(host=host, boot_id=self.boot_id)

    def snapshot(self) -> compute_pb2.WatchHostResponse:
        seen = [self.observation(uid, "snapshot") for uid in self.guests]
        return compute_pb2.WatchHostResponse(snapshot=compute_pb2.PowerSnapshot(observations=seen))

    def observation(self, uid: str, reason: str = "") -> compute_pb2.PowerObservation:
        guest = self.guests[uid]
        return compute_pb2.PowerObservation(
            uid=uid,
            power_state=guest.power,  # type: ignore[arg-type]
            observed_at=now(),
            reason=reason,
            generation=guest.generation,
        )

    def see(self, uid: str, power: int, reason: str = "") -> None:
        """Something happens to a guest without a command, and the host tells of it."""
        self.guests[uid].power = power
        for watcher in self.watchers:
            watcher.put_nowait(compute_pb2.WatchHostResponse(observation=self.observation(uid, reason)))

    def compare(self) -> None:
        """The host tells of all its guests again."""
        for watcher in self.watchers:
            watcher.put_nowait(self.snapshot())


class FakeCatalogue(catalogue_pb2_grpc.CatalogueServiceServicer):
    """image_svc's catalogue."""

    def __init__(self) -> None:
        self.images: dict[str, image_pb2.Image] = {}
        self.hold: asyncio.Event | None = None
        self.fail: ProtostarError | None = None
        self.interrupted = 0

    def add(self, **fields: Any) -> str:
        """A ready image; its name."""
        uid = str(uuid.uuid4())
        wanted = {"display_name": "guest", "disk_format": "qcow2", "virtual_size_bytes": 1 << 20, **fields}
        self.images[uid] = image_pb2.Image(name=f"images/{uid}", uid=uid, create_time=now(), **wanted)
        return f"images/{uid}"

    async def ImportImage(self, request: Any, context: Any) -> AsyncIterator[Any]:
        step = operation_pb2.Step(name="fetch", state=operation_pb2.STEP_STATE_RUNNING, start_time=now())
        yield catalogue_pb2.ImportImageResponse(step=step)
        progress = operation_pb2.Progress(done_bytes=5, total_bytes=10)
        yield catalogue_pb2.ImportImageResponse(progress=progress)
        try:
            if self.hold is not None:
                await self.hold.wait()
        except asyncio.CancelledError:
            self.interrupted += 1
            raise
        if self.fail is not None:
            raise self.fail
        image = image_pb2.Image()
        image.CopyFrom(request.image)
        image.name, image.uid, image.disk_format = f"images/{request.uid}", request.uid, "qcow2"
        self.images[request.uid] = image
        yield catalogue_pb2.ImportImageResponse(image=image)

    async def GetImage(self, request: Any, context: Any) -> Any:
        return catalogue_pb2.GetImageResponse(image=self._find(request.uid))

    async def ListImages(self, request: Any, context: Any) -> Any:
        return catalogue_pb2.ListImagesResponse(images=list(self.images.values())[: request.page_size])

    async def DeleteImage(self, request: Any, context: Any) -> Any:
        self._find(request.uid)
        del self.images[request.uid]
        return catalogue_pb2.DeleteImageResponse()

    def _find(self, uid: str) -> image_pb2.Image:
        if uid not in self.images:
            raise NotFound.of("image", f"images/{uid}")
        return self.images[uid]


class FakeNetblock(netblock_pb2_grpc.InstanceResourceServiceServicer, netblock_pb2_grpc.NetworkServiceServicer):
    """netblock_svc, as instances need it."""

    def __init__(self) -> None:
        self.default = network_pb2.Network(name=f"networks/{uuid.uuid4()}", display_name="default")
        self.networks = {self.default.name}
        self.bound: dict[str, list[instance_pb2.InstancePort]] = {}
        self.hold: asyncio.Event | None = None
        self.fail: ProtostarError | None = None
        self.fail_release: ProtostarError | None = None

    async def ListNetworks(self, request: Any, context: Any) -> Any:
        there = [self.default] if self.default.name in self.networks else []
        return netblock_pb2.ListNetworksResponse(networks=there)

    async def BindInstance(self, request: Any, context: Any) -> Any:
        for port in request.ports:
            if port.network and port.network not in self.networks:
                raise NotFound.of("network", port.network)
        if request.validate_only:
            return netblock_pb2.BindInstanceResponse()
        if self.hold is not None:
            await self.hold.wait()
        if self.fail is not None:
            raise self.fail
        self.bound[request.instance] = list(request.ports)
        return netblock_pb2.BindInstanceResponse(ports=request.ports)

    async def ReleaseInstance(self, request: Any, context: Any) -> Any:
        if self.fail_release is not None:
            raise self.fail_release
        self.bound.pop(request.instance, None)
        return netblock_pb2.ReleaseInstanceResponse()


class Peers:
    """All three at addresses of their own; the host can be taken away and brought back."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="ps-api-", dir="/tmp"))
        self.host = FakeHost()
        self.catalogue = FakeCatalogue()
        self.netblock = FakeNetblock()
        self.addresses = {name: f"unix:{self.folder}/{name}.sock" for name in ("compute", "image", "netblock")}
        self._servers: dict[str, grpc.aio.Server] = {}

    async def __aenter__(self) -> Self:
        for name in self.addresses:
            await self.bring_back(name)
        return self

    async def __aexit__(self, *exc: object) -> None:
        for name in list(self._servers):
            await self.take_away(name)
        for path in self.folder.iterdir():
            path.unlink()
        self.folder.rmdir()

    async def bring_back(self, name: str) -> None:
        """Let it answer again."""
        server = grpc.aio.server(interceptors=[ServerInterceptor()])
        if name == "compute":
            compute_pb2_grpc.add_ComputeServiceServicer_to_server(self.host, server)
        elif name == "image":
            catalogue_pb2_grpc.add_CatalogueServiceServicer_to_server(self.catalogue, server)
        else:
            netblock_pb2_grpc.add_InstanceResourceServiceServicer_to_server(self.netblock, server)
            netblock_pb2_grpc.add_NetworkServiceServicer_to_server(self.netblock, server)
        server.add_insecure_port(self.addresses[name])
        await server.start()
        self._servers[name] = server

    async def take_away(self, name: str) -> None:
        """Have it vanish: its connections break, nobody answers."""
        server = self._servers.pop(name)
        await server.stop(0)
        with contextlib.suppress(FileNotFoundError):
            Path(self.addresses[name].removeprefix("unix:")).unlink()
