"""protostar.api.v1.VolumeService: volumes are netblock_svc's, whether an instance may get one is decided here."""

from __future__ import annotations

from typing import Any

from protostar.api.v1 import volume_pb2, volume_pb2_grpc
from protostar.netblock.v1 import netblock_pb2 as pb

from api_svc.domain.attachment import Disk
from api_svc.domain.policy import Caller
from api_svc.rpc.identity import caller_of
from api_svc.rpc.passage import Passage, enter, page
from api_svc.usecases.attachments import Attachments
from svckit import names


class VolumeServicer(volume_pb2_grpc.VolumeServiceServicer):
    """A doorway: what is made belongs to the caller's project, and he sees what his project owns."""

    def __init__(self, netblock: Passage, attachments: Attachments) -> None:
        self._netblock = netblock
        self._attachments = attachments

    async def CreateVolume(self, request: volume_pb2.CreateVolumeRequest, context: Any) -> volume_pb2.Volume:
        caller = enter(context, "volume.create")
        wanted = pb.CreateVolumeRequest(uid=names.chosen_uuid(request.volume_id, "volume_id"), volume=request.volume)
        wanted.volume.project = caller.project
        answer = await self._netblock(wanted)
        volume: volume_pb2.Volume = answer.volume
        return volume

    async def GetVolume(self, request: volume_pb2.GetVolumeRequest, context: Any) -> volume_pb2.Volume:
        caller = enter(context, "volume.get")
        return await self._read(caller, names.parse("volumes", request.name))

    async def ListVolumes(self, request: volume_pb2.ListVolumesRequest, context: Any) -> volume_pb2.ListVolumesResponse:
        caller = enter(context, "volume.list")
        found = await self._netblock(pb.ListVolumesRequest(**page(request, caller)))
        return volume_pb2.ListVolumesResponse(volumes=found.volumes, next_page_token=found.next_page_token)

    async def DeleteVolume(
        self, request: volume_pb2.DeleteVolumeRequest, context: Any
    ) -> volume_pb2.DeleteVolumeResponse:
        caller = enter(context, "volume.delete")
        uid = names.parse("volumes", request.name)
        await self._netblock(pb.DeleteVolumeRequest(uid=uid, project=caller.scope or ""))
        return volume_pb2.DeleteVolumeResponse()

    async def AttachVolume(self, request: volume_pb2.AttachVolumeRequest, context: Any) -> volume_pb2.Volume:
        caller = caller_of(context)
        wanted = Disk(
            uid=names.parse("volumes", request.name),
            instance=names.parse("instances", request.instance, "instance"),
            device=request.device,
        )
        await self._attachments.attach(caller, wanted)
        return await self._read(caller, wanted.uid)

    async def DetachVolume(self, request: volume_pb2.DetachVolumeRequest, context: Any) -> volume_pb2.Volume:
        caller = caller_of(context)
        uid = names.parse("volumes", request.name)
        await self._attachments.detach(caller, uid)
        return await self._read(caller, uid)

    async def _read(self, caller: Caller, uid: str) -> volume_pb2.Volume:
        answer = await self._netblock(pb.GetVolumeRequest(uid=uid, project=caller.scope or ""))
        volume: volume_pb2.Volume = answer.volume
        return volume
