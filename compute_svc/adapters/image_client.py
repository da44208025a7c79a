"""The Disks port over gRPC."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import grpc
from protostar.image.v1 import image_pb2 as pb
from protostar.image.v1 import image_pb2_grpc

from compute_svc.adapters.peer import calling
from compute_svc.domain.model import DiskFacts, DiskRole, InstanceSpec, WantedDisk

_PEER, _REASON = "image_svc", "IMAGE_UNAVAILABLE"
# A base may have to be fetched and converted: that takes as long as the operation has.
_SHORT_SECONDS = 60.0
_ROLES = {
    DiskRole.ROOT: pb.DISK_ROLE_ROOT,
    DiskRole.EPHEMERAL: pb.DISK_ROLE_EPHEMERAL,
    DiskRole.SWAP: pb.DISK_ROLE_SWAP,
    DiskRole.CONFIG: pb.DISK_ROLE_CONFIG,
}


class ImageClient:
    """See ports.Disks."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub: image_pb2_grpc.DiskServiceAsyncStub = image_pb2_grpc.DiskServiceStub(channel)

    async def ensure(
        self, spec: InstanceSpec, disks: Sequence[WantedDisk], os_type: str, seconds: float
    ) -> list[DiskFacts]:
        wanted = [pb.WantedDisk(name=d.name, role=_ROLES[d.role], size_bytes=d.size_bytes) for d in disks]
        request = pb.EnsureDisksRequest(uid=spec.uid, image=spec.image, disks=wanted, os_type=os_type)
        with calling(_PEER, _REASON):
            answer = await self._stub.EnsureDisks(request, timeout=seconds)
        return [_facts(disk) for disk in answer.disks]

    async def build_config_drive(self, uid: str, files: Mapping[str, bytes], digest: str, seconds: float) -> DiskFacts:
        request = pb.BuildConfigDriveRequest(uid=uid, files=files, digest=digest)
        with calling(_PEER, _REASON):
            answer = await self._stub.BuildConfigDrive(request, timeout=min(seconds, _SHORT_SECONDS))
        return _facts(answer.disk)

    async def remove(self, uid: str, names: Sequence[str], seconds: float) -> tuple[str, ...]:
        request = pb.RemoveDisksRequest(uid=uid, names=names)
        with calling(_PEER, _REASON):
            answer = await self._stub.RemoveDisks(request, timeout=min(seconds, _SHORT_SECONDS))
        return tuple(answer.removed)


def _facts(disk: pb.DiskFacts) -> DiskFacts:
    return DiskFacts(
        name=disk.name,
        path=disk.path,
        type=disk.type,
        virtual_size=disk.virtual_size_bytes,
        disk_size=disk.disk_size_bytes,
        backing_file=disk.backing_file,
        over_committed_size=disk.over_committed_size_bytes,
        created=disk.created,
        content_digest=disk.content_digest,
    )
