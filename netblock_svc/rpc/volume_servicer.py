"""protostar.netblock.v1.VolumeService."""

from __future__ import annotations

from typing import Any

from protostar.netblock.v1 import netblock_pb2 as pb
from protostar.netblock.v1 import netblock_pb2_grpc

from netblock_svc.domain.binding import WantedDisk
from netblock_svc.domain.volume import parse_device
from netblock_svc.ports import Storage
from netblock_svc.rpc import translate
from netblock_svc.usecases import attachments, volumes
from netblock_svc.usecases.volumes import VolumeKeeper
from svckit.clock import Clock


class VolumeServicer(netblock_pb2_grpc.VolumeServiceServicer):
    """Volumes and attachments."""

    def __init__(self, storage: Storage, keeper: VolumeKeeper, clock: Clock) -> None:
        self._storage = storage
        self._keeper = keeper
        self._clock = clock

    async def CreateVolume(self, request: pb.CreateVolumeRequest, context: Any) -> pb.CreateVolumeResponse:
        made = await self._keeper.create(translate.wanted_volume(request, self._clock()))
        return pb.CreateVolumeResponse(volume=translate.volume(made))

    async def GetVolume(self, request: pb.GetVolumeRequest, context: Any) -> pb.GetVolumeResponse:
        found = await volumes.get_volume(self._storage, translate.uid(request.uid, "uid"), request.project)
        return pb.GetVolumeResponse(volume=translate.volume(found))

    async def ListVolumes(self, request: pb.ListVolumesRequest, context: Any) -> pb.ListVolumesResponse:
        found, token = await volumes.list_volumes(self._storage, translate.query(request))
        return pb.ListVolumesResponse(volumes=map(translate.volume, found), next_page_token=token)

    async def DeleteVolume(self, request: pb.DeleteVolumeRequest, context: Any) -> pb.DeleteVolumeResponse:
        await self._keeper.delete(translate.uid(request.uid, "uid"), request.project)
        return pb.DeleteVolumeResponse()

    async def AttachVolume(self, request: pb.AttachVolumeRequest, context: Any) -> pb.AttachVolumeResponse:
        disk = WantedDisk(volume=translate.uid(request.uid, "uid"), device=parse_device(request.device, "device"))
        instance = translate.uid(request.instance, "instance")
        attached = await attachments.attach_volume(
            self._storage, disk, instance, request.generation, request.project, self._clock
        )
        return pb.AttachVolumeResponse(volume=translate.volume(attached))

    async def DetachVolume(self, request: pb.DetachVolumeRequest, context: Any) -> pb.DetachVolumeResponse:
        volume, instance = translate.uid(request.uid, "uid"), translate.uid(request.instance, "instance")
        detached = await attachments.detach_volume(self._storage, volume, instance, request.project)
        return pb.DetachVolumeResponse(volume=translate.volume(detached))
