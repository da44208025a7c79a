"""The command's side: whether the services serve, told as it happens by gRPC's health protocol."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from protostar.api.v1 import host_pb2, host_pb2_grpc

_PAUSE_SECONDS = 0.1
_CHANNEL = (("grpc.max_reconnect_backoff_ms", 500), ("grpc.min_reconnect_backoff_ms", 100))


async def until_serving(address: str) -> None:
    """Return once the service at this address says SERVING; wait for it for ever."""
    async with grpc.aio.insecure_channel(address, options=_CHANNEL) as link:
        stub: Any = health_pb2_grpc.HealthStub(link)
        while True:
            with contextlib.suppress(grpc.aio.AioRpcError):
                async for answer in stub.Watch(health_pb2.HealthCheckRequest(), wait_for_ready=True):
                    if answer.status == health_pb2.HealthCheckResponse.SERVING:
                        return
            await asyncio.sleep(_PAUSE_SECONDS)


async def until_host(address: str) -> host_pb2.Host:
    """The first host that api_svc hears of; wait for it for ever."""
    async with grpc.aio.insecure_channel(address, options=_CHANNEL) as link:
        stub = host_pb2_grpc.HostServiceStub(link)
        while True:
            with contextlib.suppress(grpc.aio.AioRpcError):
                answer = await stub.ListHosts(host_pb2.ListHostsRequest(), timeout=5, wait_for_ready=True)
                for host in answer.hosts:
                    if host.state == host_pb2.HOST_STATE_UP:
                        return host
            await asyncio.sleep(_PAUSE_SECONDS)


async def health(addresses: Mapping[str, str], seconds: float = 2.0) -> dict[str, str]:
    """What each service says of itself now: SERVING, NOT_SERVING, or UNREACHABLE."""
    answers = await asyncio.gather(*(_health(address, seconds) for address in addresses.values()))
    return dict(zip(addresses, answers, strict=True))


async def _health(address: str, seconds: float) -> str:
    async with grpc.aio.insecure_channel(address) as link:
        try:
            stub: Any = health_pb2_grpc.HealthStub(link)
            answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=seconds)
        except grpc.aio.AioRpcError:
            return "UNREACHABLE"
        return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))
