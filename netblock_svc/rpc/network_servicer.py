"""protostar.netblock.v1.NetworkService."""

from __future__ import annotations

from typing import Any

from protostar.netblock.v1 import netblock_pb2 as pb
from protostar.netblock.v1 import netblock_pb2_grpc

from netblock_svc.ports import Storage
from netblock_svc.rpc import translate
from netblock_svc.usecases import networks, ports
from netblock_svc.usecases.allocation import RandomBits
from svckit.clock import Clock


class NetworkServicer(netblock_pb2_grpc.NetworkServiceServicer):
    """Networks and ports."""

    def __init__(self, storage: Storage, clock: Clock, random_bits: RandomBits) -> None:
        self._storage = storage
        self._clock = clock
        self._random_bits = random_bits

    async def CreateNetwork(self, request: pb.CreateNetworkRequest, context: Any) -> pb.CreateNetworkResponse:
        made = await networks.create_network(self._storage, translate.wanted_network(request), self._clock)
        return pb.CreateNetworkResponse(network=translate.network(made))

    async def GetNetwork(self, request: pb.GetNetworkRequest, context: Any) -> pb.GetNetworkResponse:
        found = await networks.get_network(self._storage, translate.uid(request.uid, "uid"), request.project)
        return pb.GetNetworkResponse(network=translate.network(found))

    async def ListNetworks(self, request: pb.ListNetworksRequest, context: Any) -> pb.ListNetworksResponse:
        found, token = await networks.list_networks(self._storage, translate.query(request))
        return pb.ListNetworksResponse(networks=map(translate.network, found), next_page_token=token)

    async def DeleteNetwork(self, request: pb.DeleteNetworkRequest, context: Any) -> pb.DeleteNetworkResponse:
        await networks.delete_network(self._storage, translate.uid(request.uid, "uid"), request.project)
        return pb.DeleteNetworkResponse()

    async def CreatePort(self, request: pb.CreatePortRequest, context: Any) -> pb.CreatePortResponse:
        wanted = translate.wanted_port(request)
        made = await ports.create_port(self._storage, wanted, clock=self._clock, random_bits=self._random_bits)
        return pb.CreatePortResponse(port=translate.port(made))

    async def GetPort(self, request: pb.GetPortRequest, context: Any) -> pb.GetPortResponse:
        found = await ports.get_port(self._storage, translate.uid(request.uid, "uid"), request.project)
        return pb.GetPortResponse(port=translate.port(found))

    async def ListPorts(self, request: pb.ListPortsRequest, context: Any) -> pb.ListPortsResponse:
        found, token = await ports.list_ports(self._storage, translate.query(request))
        return pb.ListPortsResponse(ports=map(translate.port, found), next_page_token=token)

    async def DeletePort(self, request: pb.DeletePortRequest, context: Any) -> pb.DeletePortResponse:
        await ports.delete_port(self._storage, translate.uid(request.uid, "uid"), request.project)
        return pb.DeletePortResponse()
