"""netblock_svc and image_svc as compute_svc sees them: the real protos over a real socket, plain answers.

Disks are small files, so that what is left on disk can be looked at; a config drive's content is its digest.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from protostar.image.v1 import image_pb2, image_pb2_grpc
from protostar.netblock.v1 import netblock_pb2, netblock_pb2_grpc

from svckit.errors import ProtostarError
from svckit.interceptors import ServerInterceptor


@dataclass
class FakeNetblockService(netblock_pb2_grpc.InstanceResourceServiceServicer):
    """Every instance has the same VIFs and volumes."""

    vifs: list[netblock_pb2.Vif] = field(default_factory=list)
    volumes: list[netblock_pb2.VolumeBlockDevice] = field(default_factory=list)
    refusal: ProtostarError | None = None
    hold: asyncio.Event | None = None

    async def GetInstanceNetworkInfo(self, request: Any, context: Any) -> netblock_pb2.GetInstanceNetworkInfoResponse:
        if self.hold is not None:
            await self.hold.wait()
        if self.refusal is not None:
            raise self.refusal
        return netblock_pb2.GetInstanceNetworkInfoResponse(vifs=self.vifs)

    async def GetInstanceBlockDeviceInfo(
        self, request: netblock_pb2.GetInstanceBlockDeviceInfoRequest, context: Any
    ) -> netblock_pb2.GetInstanceBlockDeviceInfoResponse:
        image = netblock_pb2.ImageBlockDevice(image_id=request.image, size_gib=request.flavor.root_gib)
        return netblock_pb2.GetInstanceBlockDeviceInfoResponse(image=[image], block_device_mapping=self.volumes)


@dataclass
class FakeDiskService(image_pb2_grpc.DiskServiceServicer):
    """Makes files under `instances`."""

    instances: Path
    refusal: ProtostarError | None = None
    hold: asyncio.Event | None = None

    async def EnsureDisks(self, request: image_pb2.EnsureDisksRequest, context: Any) -> image_pb2.EnsureDisksResponse:
        if self.hold is not None:
            await self.hold.wait()
        if self.refusal is not None:
            raise self.refusal
        disks = []
        for disk in request.disks:
            path = self.instances / request.uid / disk.name
            created = not path.exists()
            if disk.role == image_pb2.DISK_ROLE_CONFIG and created:
                continue
            path.touch()
            disks.append(self._facts(path, created=created))
        return image_pb2.EnsureDisksResponse(disks=disks)

    async def BuildConfigDrive(
        self, request: image_pb2.BuildConfigDriveRequest, context: Any
    ) -> image_pb2.BuildConfigDriveResponse:
        path = self.instances / request.uid / "disk.config"
        new = path.with_name("disk.config.new")
        new.write_text(request.digest)
        new.replace(path)
        return image_pb2.BuildConfigDriveResponse(disk=self._facts(path, created=True))

    async def RemoveDisks(self, request: image_pb2.RemoveDisksRequest, context: Any) -> image_pb2.RemoveDisksResponse:
        folder = self.instances / request.uid
        found = [path for path in sorted(folder.glob("disk*")) if not request.names or path.name in request.names]
        for path in found:
            path.unlink()
        return image_pb2.RemoveDisksResponse(removed=[path.name for path in found])

    def _facts(self, path: Path, *, created: bool) -> image_pb2.DiskFacts:
        config = path.name == "disk.config"
        return image_pb2.DiskFacts(
            name=path.name,
            path=str(path),
            type="raw" if config else "qcow2",
            created=created,
            content_digest=path.read_text() if config else "",
        )


@dataclass
class FakePeers:
    """Both, at one address while used as a context manager."""

    address: str
    netblock: FakeNetblockService
    disks: FakeDiskService
    _server: Any = None

    @classmethod
    def at(cls, address: str, instances: Path) -> FakePeers:
        return cls(address, FakeNetblockService(), FakeDiskService(instances))

    async def __aenter__(self) -> FakePeers:
        self._server = grpc.aio.server(interceptors=[ServerInterceptor()])
        netblock_pb2_grpc.add_InstanceResourceServiceServicer_to_server(self.netblock, self._server)
        image_pb2_grpc.add_DiskServiceServicer_to_server(self.disks, self._server)
        self._server.add_insecure_port(self.address)
        await self._server.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._server.stop(0)
