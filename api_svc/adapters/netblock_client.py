"""netblock_svc, as far as instances need it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import grpc
from protostar.netblock.v1 import netblock_pb2, netblock_pb2_grpc

from api_svc.adapters.peer import calling
from api_svc.domain.instance import Port, Volume
from api_svc.ports import Bound
from api_svc.translate import values

_PEER = "netblock_svc"
_CALL_SECONDS = 10.0
_DEFAULT = 'display_name = "default"'


class NetblockClient:
    """See `ports.Netblock`."""

    def __init__(self, connection: grpc.aio.Channel) -> None:
        self._networks: Any = netblock_pb2_grpc.NetworkServiceStub(connection)
        self._resources: Any = netblock_pb2_grpc.InstanceResourceServiceStub(connection)

    async def default_network(self, project: str) -> str | None:
        request = netblock_pb2.ListNetworksRequest(page_size=2, filter=_DEFAULT, project=project)
        with calling(_PEER):
            found = (await self._networks.ListNetworks(request, timeout=_CALL_SECONDS)).networks
        # The project's own before the one that everybody may use.
        chosen = sorted(found, key=lambda network: network.project != project)
        return chosen[0].name if chosen else None

    async def bind(
        self,
        instance: str,
        project: str,
        ports: Sequence[Port],
        volumes: Sequence[Volume],
        *,
        generation: int = 0,
        validate_only: bool = False,
    ) -> Bound:
        request = netblock_pb2.BindInstanceRequest(
            instance=instance,
            project=project,
            ports=values.ports_to_wire(ports),
            volumes=values.volumes_to_wire(volumes),
            validate_only=validate_only,
            generation=generation,
        )
        with calling(_PEER):
            answer = await self._resources.BindInstance(request, timeout=_CALL_SECONDS)
        return Bound(ports=values.ports(answer.ports), volumes=values.volumes(answer.volumes))

    async def release(self, instance: str, *, generation: int) -> None:
        request = netblock_pb2.ReleaseInstanceRequest(instance=instance, generation=generation)
        with calling(_PEER):
            await self._resources.ReleaseInstance(request, timeout=_CALL_SECONDS)
