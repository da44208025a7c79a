"""api_svc in this process, served on a real socket over fake peers, and a client that fails in our own errors."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

from google.longrunning import operations_pb2, operations_pb2_grpc
from google.protobuf.message import Message
from protostar.api.v1 import (
    host_pb2,
    host_pb2_grpc,
    image_pb2_grpc,
    instance_pb2,
    instance_service_pb2,
    instance_service_pb2_grpc,
    operation_pb2,
    operation_pb2_grpc,
)

from api_svc.bootstrap import build
from api_svc.config import ApiSettings
from svckit import channel, server
from tests.fakes.api_peers import Peers

pb = instance_service_pb2
ROOT = Path(__file__).resolve().parents[2]
FLAVOR = instance_pb2.Flavor(vcpus=1, memory_mib=64, root_gib=1)
_STUBS = (
    instance_service_pb2_grpc.InstanceServiceStub,
    operations_pb2_grpc.OperationsStub,
    operation_pb2_grpc.OperationServiceStub,
    image_pb2_grpc.ImageServiceStub,
    host_pb2_grpc.HostServiceStub,
)


class Door:
    """A client. `await door(request)` sends a request to the method that it is named after."""

    def __init__(self, address: str, peers: Peers) -> None:
        self.peers = peers
        self._channel = channel.connect(address)
        self._stubs = [stub(self._channel) for stub in _STUBS]
        self._metadata: tuple[tuple[str, str], ...] = ()

    def as_(self, user: str, project: str = "default", roles: str = "member") -> Door:
        """The same door for somebody else."""
        other = object.__new__(Door)
        other.__dict__.update(self.__dict__)
        other._metadata = (
            ("x-protostar-user", user),
            ("x-protostar-project", project),
            ("x-protostar-roles", roles),
        )
        return other

    async def __call__(self, request: Any, **options: Any) -> Any:
        with channel.errors():
            return await self._method(request)(
                request, **{"wait_for_ready": True, "timeout": 30, "metadata": self._metadata, **options}
            )

    def stream(self, request: Any) -> Any:
        """A call that answers many times."""
        return self._method(request)(request, wait_for_ready=True, metadata=self._metadata)

    def _method(self, request: Any) -> Any:
        name = type(request).__name__.removesuffix("Request")
        return next(getattr(stub, name) for stub in self._stubs if hasattr(stub, name))

    async def close(self) -> None:
        await self._channel.close()

    # --- the few steps that every test repeats ---

    async def create(self, **fields: Any) -> operations_pb2.Operation:
        """CreateInstance; fields are the request's, those of Instance in `instance`."""
        wanted = {"display_name": "vm", "flavor": FLAVOR, **fields.pop("instance", {})}
        wanted.setdefault("image", self.peers.catalogue.add())
        request = pb.CreateInstanceRequest(instance=instance_pb2.Instance(**wanted), **fields)
        operation: operations_pb2.Operation = await self(request)
        return operation

    async def created(self, **fields: Any) -> str:
        """Name of a new instance, ACTIVE."""
        operation = await self.ended(await self.create(**fields))
        assert not operation.HasField("error"), operation.error
        return unpack(operation.response, instance_pb2.Instance).name

    async def stopped(self, **fields: Any) -> str:
        """Name of a new instance, STOPPED."""
        name = await self.created(**fields)
        await self.done(pb.StopInstanceRequest(name=name))
        return name

    async def done(self, request: Any) -> operations_pb2.Operation:
        """The operation of a request when it has ended well."""
        operation = await self.ended(await self(request))
        assert not operation.HasField("error"), operation.error
        return operation

    async def ended(self, operation: operations_pb2.Operation, seconds: int = 20) -> operations_pb2.Operation:
        """An operation when it has ended."""
        request = operations_pb2.WaitOperationRequest(name=operation.name)
        request.timeout.FromSeconds(seconds)
        ended: operations_pb2.Operation = await self(request)
        assert ended.done, metadata(ended)
        return ended

    async def get(self, name: str) -> instance_pb2.Instance:
        instance: instance_pb2.Instance = await self(pb.GetInstanceRequest(name=name))
        return instance

    async def operation(self, name: str) -> operations_pb2.Operation:
        found: operations_pb2.Operation = await self(operations_pb2.GetOperationRequest(name=name))
        return found


def metadata(operation: operations_pb2.Operation) -> operation_pb2.OperationMetadata:
    return unpack(operation.metadata, operation_pb2.OperationMetadata)


def unpack(packed: Any, kind: type[Any]) -> Any:
    message: Message = kind()
    assert packed.Unpack(message), f"expected {kind.DESCRIPTOR.full_name}, got {packed.type_url}"
    return message


async def eventually(holds: Callable[[], Awaitable[bool] | bool], seconds: float = 15.0) -> None:
    """Wait until it holds."""
    async with asyncio.timeout(seconds):
        while True:
            answer = holds()
            if answer if isinstance(answer, bool) else await answer:
                return
            await asyncio.sleep(0.02)


def settings_for(folder: Path, peers: Peers, **values: Any) -> ApiSettings:
    """Settings of a replica that keeps everything in `folder`."""
    return ApiSettings(
        **{
            "data_dir": folder,
            "host_name": "here",
            "api_address": f"unix:{peers.folder}/api-{uuid.uuid4().hex[:8]}.sock",
            "api_replica": "replica",
            "compute_address": peers.addresses["compute"],
            "image_address": peers.addresses["image"],
            "netblock_address": peers.addresses["netblock"],
            "drain_seconds": 3.0,
            **values,
        }
    )


@contextlib.asynccontextmanager
async def serving(settings: ApiSettings, peers: Peers) -> AsyncIterator[Door]:
    """A replica that serves; leaving drains it."""
    stop = asyncio.Event()
    life = asyncio.create_task(
        server.serve("api_svc", settings.api_address, settings.drain_seconds, partial(build, settings), stop)
    )
    door = Door(settings.api_address, peers)
    try:
        yield door
    finally:
        stop.set()
        await life
        await door.close()


@contextlib.asynccontextmanager
async def crashing(settings: ApiSettings, peers: Peers, failpoints: str = "") -> AsyncIterator[Door]:
    """A replica in a process of its own, which is killed in the end if it is still there."""
    environment = {
        **os.environ,
        "PROTOSTAR_DATA_DIR": str(settings.data_dir),
        "PROTOSTAR_HOST_NAME": settings.host_name,
        "PROTOSTAR_API_ADDRESS": settings.api_address,
        "PROTOSTAR_API_REPLICA": settings.api_replica,
        "PROTOSTAR_API_DATABASE_URL": settings.api_database_url,
        "PROTOSTAR_COMPUTE_ADDRESS": settings.compute_address,
        "PROTOSTAR_IMAGE_ADDRESS": settings.image_address,
        "PROTOSTAR_NETBLOCK_ADDRESS": settings.netblock_address,
        "PROTOSTAR_FAILPOINTS": failpoints,
    }
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "api_svc", env=environment, cwd=ROOT)
    door = Door(settings.api_address, peers)
    try:
        yield door
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        await door.close()
        await asyncio.to_thread(Path(settings.api_address.removeprefix("unix:")).unlink, missing_ok=True)


async def host_is_up(door: Door) -> bool:
    """api_svc has heard of the host."""
    return bool((await door(host_pb2.ListHostsRequest())).hosts)


async def becomes(door: Door, name: str, **fields: Any) -> instance_pb2.Instance:
    """The instance, once these fields are so."""
    seen: list[instance_pb2.Instance] = []

    async def is_so() -> bool:
        seen.append(await door.get(name))
        return all(getattr(seen[-1], field) == value for field, value in fields.items())

    try:
        await eventually(is_so)
    except TimeoutError:
        raise AssertionError(seen[-1]) from None
    return seen[-1]
