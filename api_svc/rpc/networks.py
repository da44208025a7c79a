"""protostar.api.v1.NetworkService: networks and ports are netblock_svc's."""

from __future__ import annotations

from typing import Any

from protostar.api.v1 import network_pb2, network_pb2_grpc
from protostar.netblock.v1 import netblock_pb2 as pb

from api_svc.rpc.passage import Passage, enter, page
from svckit import names


class NetworkServicer(network_pb2_grpc.NetworkServiceServicer):
    """A doorway: what is made belongs to the caller's project, and he sees what his project may see."""

    def __init__(self, netblock: Passage) -> None:
        self._netblock = netblock

    async def CreateNetwork(self, request: network_pb2.CreateNetworkRequest, context: Any) -> network_pb2.Network:
        caller = enter(context, "network.create")
        wanted = pb.CreateNetworkRequest(
            uid=names.chosen_uuid(request.network_id, "network_id"), network=request.network
        )
        wanted.network.project = caller.project
        answer = await self._netblock(wanted)
        network: network_pb2.Network = answer.network
        return network

    async def GetNetwork(self, request: network_pb2.GetNetworkRequest, context: Any) -> network_pb2.Network:
        caller = enter(context, "network.get")
        uid = names.parse("networks", request.name)
        answer = await self._netblock(pb.GetNetworkRequest(uid=uid, project=caller.scope or ""))
        network: network_pb2.Network = answer.network
        return network

    async def ListNetworks(
        self, request: network_pb2.ListNetworksRequest, context: Any
    ) -> network_pb2.ListNetworksResponse:
        caller = enter(context, "network.list")
        found = await self._netblock(pb.ListNetworksRequest(**page(request, caller)))
        return network_pb2.ListNetworksResponse(networks=found.networks, next_page_token=found.next_page_token)

    async def DeleteNetwork(
        self, request: network_pb2.DeleteNetworkRequest, context: Any
    ) -> network_pb2.DeleteNetworkResponse:
        caller = enter(context, "network.delete")
        uid = names.parse("networks", request.name)
        await self._netblock(pb.DeleteNetworkRequest(uid=uid, project=caller.scope or ""))
        return network_pb2.DeleteNetworkResponse()

    async def CreatePort(self, request: network_pb2.CreatePortRequest, context: Any) -> network_pb2.Port:
        caller = enter(context, "port.create")
        wanted = pb.CreatePortRequest(uid=names.chosen_uuid(request.port_id, "port_id"), port=request.port)
        wanted.port.project = caller.project
        answer = await self._netblock(wanted)
        port: network_pb2.Port = answer.port
        return port

    async def GetPort(self, request: network_pb2.GetPortRequest, context: Any) -> network_pb2.Port:
        caller = enter(context, "port.get")
        uid = names.parse("ports", request.name)
        answer = await self._netblock(pb.GetPortRequest(uid=uid, project=caller.scope or ""))
        port: network_pb2.Port = answer.port
        return port

    async def ListPorts(self, request: network_pb2.ListPortsRequest, context: Any) -> network_pb2.ListPortsResponse:
        caller = enter(context, "port.list")
        found = await self._netblock(pb.ListPortsRequest(**page(request, caller)))
        return network_pb2.ListPortsResponse(ports=found.ports, next_page_token=found.next_page_token)

    async def DeletePort(self, request: network_pb2.DeletePortRequest, context: Any) -> network_pb2.DeletePortResponse:
        caller = enter(context, "port.delete")
        uid = names.parse("ports", request.name)
        await self._netblock(pb.DeletePortRequest(uid=uid, project=caller.scope or ""))
        return network_pb2.DeletePortResponse()
