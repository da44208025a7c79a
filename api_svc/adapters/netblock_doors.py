"""netblock_svc, as far as the public doors of networks, ports and volumes need it."""

from __future__ import annotations

from typing import Any

import grpc
from google.protobuf.message import Message
from protostar.netblock.v1 import netblock_pb2, netblock_pb2_grpc

from api_svc.adapters.peer import calling
from api_svc.domain.attachment import Disk

_PEER = "netblock_svc"
_CALL_SECONDS = 10.0
# Making a volume runs qemu-img.
_SLOW_SECONDS = {"CreateVolume": 90.0}
# These are made with an instance held: whoever else wants to change it waits for them.
_HELD_SECONDS = 3.0


class NetblockPassage:
    """Sends a request of protostar.netblock.v1 to the method that it is named after, and answers its response.

    What netblock_svc refuses is raised as it said it.
    """

    def __init__(self, connection: grpc.aio.Channel) -> None:
        stubs: list[Any] = [
            netblock_pb2_grpc.NetworkServiceStub(connection),
            netblock_pb2_grpc.VolumeServiceStub(connection),
        ]
        self._methods = {name: method for stub in stubs for name, method in vars(stub).items()}

    async def __call__(self, request: Message) -> Any:
        name = request.DESCRIPTOR.name.removesuffix("Request")
        with calling(_PEER):
            return await self._methods[name](request, timeout=_SLOW_SECONDS.get(name, _CALL_SECONDS))


class DisksClient:
    """See `usecases.attachments.Disks`."""

    def __init__(self, connection: grpc.aio.Channel) -> None:
        self._volumes: Any = netblock_pb2_grpc.VolumeServiceStub(connection)

    async def find(self, uid: str, project: str) -> Disk:
        return await self._ask(self._volumes.GetVolume, netblock_pb2.GetVolumeRequest(uid=uid, project=project))

    async def attach(self, disk: Disk, project: str, *, generation: int) -> Disk:
        request = netblock_pb2.AttachVolumeRequest(
            uid=disk.uid, instance=disk.instance, device=disk.device, project=project, generation=generation
        )
        return await self._ask(self._volumes.AttachVolume, request)

    async def detach(self, disk: Disk, project: str) -> None:
        request = netblock_pb2.DetachVolumeRequest(uid=disk.uid, instance=disk.instance, project=project)
        await self._ask(self._volumes.DetachVolume, request)

    async def _ask(self, method: Any, request: Message) -> Disk:
        with calling(_PEER):
            volume = (await method(request, timeout=_HELD_SECONDS)).volume
        attachment = volume.attachment
        return Disk(uid=volume.uid, instance=attachment.instance.removeprefix("instances/"), device=attachment.device)
