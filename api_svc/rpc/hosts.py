"""protostar.api.v1.HostService."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from protostar.api.v1 import host_pb2, host_pb2_grpc

from api_svc.domain.host import Host
from api_svc.rpc.identity import caller_of
from api_svc.translate import resources
from api_svc.usecases.reading import Reading
from svckit.clock import Clock
from svckit.errors import InvalidArgument


class HostServicer(host_pb2_grpc.HostServiceServicer):
    """A doorway: translate, call, translate."""

    def __init__(self, reading: Reading, clock: Clock, silent_after: timedelta) -> None:
        self._reading = reading
        self._clock = clock
        self._silent_after = silent_after

    async def ListHosts(self, request: host_pb2.ListHostsRequest, context: Any) -> host_pb2.ListHostsResponse:
        caller = caller_of(context)
        found, token = await self._reading.hosts(caller, request.page_size, request.page_token)
        return host_pb2.ListHostsResponse(hosts=[self._to_wire(host) for host in found], next_page_token=token)

    async def GetHost(self, request: host_pb2.GetHostRequest, context: Any) -> host_pb2.Host:
        caller = caller_of(context)
        prefix, _, name = request.name.partition("/")
        if prefix != "hosts" or not name:
            raise InvalidArgument.field("name", f'must be "hosts/" and a name, got {request.name!r}')
        return self._to_wire(await self._reading.host(caller, name))

    def _to_wire(self, host: Host) -> host_pb2.Host:
        return resources.host_to_wire(host, silent=host.is_silent(self._clock(), self._silent_after))
