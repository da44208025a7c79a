"""The control plane alone: the four services with libvirt's test driver, which starts a guest in no time.

Everything, this client too, shares the machine's cores.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from google.longrunning import operations_pb2, operations_pb2_grpc
from protostar.api.v1 import instance_pb2, instance_service_pb2, instance_service_pb2_grpc

from bench import cost
from tests.client import Client
from tests.stack import Stack

IN_FLIGHT = 50


@dataclass(frozen=True)
class ControlPlane:
    """Seconds of single starts, starts per second with 50 in flight, the price of one start, and idle memory."""

    single: list[float]
    per_second: float
    price: cost.Price
    idle_rss_mb: dict[str, float]


def measure(guest: Path, singles: int, rounds: int, say: Callable[[str], None]) -> ControlPlane:
    """Make 50 instances; start them one by one `singles` times, then all at once `rounds` times."""
    settings = {"PROTOSTAR_MEMORY_OVERCOMMIT": "1000", "PROTOSTAR_CPU_OVERCOMMIT": "1000"}
    with Stack(libvirt_uri="test:///default", settings=settings) as stack:
        time.sleep(5)
        idle = {name: cost.rss_mb(process.pid) for name, process in stack.processes.items()}
        say("making 50 instances")
        names = _make_instances(stack, guest)
        return asyncio.run(_measure(stack, names, singles, rounds, idle, say))


def _make_instances(stack: Stack, guest: Path) -> list[str]:
    client = Client(stack.addresses["api_svc"])
    image = client.import_image(guest)
    flavor = instance_pb2.Flavor(vcpus=1, memory_mib=64, root_gib=1)
    operations = [client.create(image.name, f"bench-{n}", flavor=flavor) for n in range(IN_FLIGHT)]
    names = [client.finish(operation, instance_pb2.Instance).name for operation in operations]
    client.close()
    return names


async def _measure(
    stack: Stack, names: Sequence[str], singles: int, rounds: int, idle: dict[str, float], say: Callable[[str], None]
) -> ControlPlane:
    async with grpc.aio.insecure_channel(stack.addresses["api_svc"]) as channel:
        door = _Door(channel)
        await door.stop_all(names)
        say("one by one")
        seconds = [await door.timed_start(names[n % len(names)]) for n in range(singles)]
        price = await door.priced_start(names[0], stack)
        say("50 in flight")
        began = 0.0
        for _ in range(rounds):
            start = time.perf_counter()
            await asyncio.gather(*(door.start(name) for name in names))
            began += time.perf_counter() - start
            await door.stop_all(names)
        return ControlPlane(seconds, rounds * len(names) / began, price, idle)


class _Door:
    """An asynchronous client, since 50 threads would measure themselves."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._instances = instance_service_pb2_grpc.InstanceServiceStub(channel)
        self._operations = operations_pb2_grpc.OperationsStub(channel)

    async def start(self, name: str) -> tuple[str, ...]:
        """Start and wait; the trace ids of the two calls."""
        call = self._instances.StartInstance(instance_service_pb2.StartInstanceRequest(name=name))
        return await self._done(await call, call)

    async def stop(self, name: str) -> None:
        request = instance_service_pb2.StopInstanceRequest(name=name, mode=instance_service_pb2.STOP_MODE_FORCE)
        call = self._instances.StopInstance(request)
        await self._done(await call, call)

    async def stop_all(self, names: Sequence[str]) -> None:
        await asyncio.gather(*(self.stop(name) for name in names))

    async def timed_start(self, name: str) -> float:
        began = time.perf_counter()
        await self.start(name)
        seconds = time.perf_counter() - began
        await self.stop(name)
        return seconds

    async def priced_start(self, name: str, stack: Stack) -> cost.Price:
        traces = await self.start(name)
        await self.stop(name)
        await asyncio.sleep(1.0)  # services send their spans every 200 ms
        return cost.price([span for trace in traces for span in stack.spans(trace)])

    async def _done(
        self, operation: operations_pb2.Operation, call: grpc.aio.UnaryUnaryCall[Any, Any]
    ) -> tuple[str, ...]:
        request = operations_pb2.WaitOperationRequest(name=operation.name)
        request.timeout.FromSeconds(60)
        wait = self._operations.WaitOperation(request)
        done = await wait
        if not done.done or done.HasField("error"):
            raise RuntimeError(f"{operation.name} did not succeed: {done}")
        return (await _trace_of(call), await _trace_of(wait))


async def _trace_of(call: grpc.aio.UnaryUnaryCall[Any, Any]) -> str:
    metadata = dict(await call.trailing_metadata() or ())
    return str(metadata["traceresponse"]).split("-")[1]
