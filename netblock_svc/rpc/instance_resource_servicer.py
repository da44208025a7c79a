"""protostar.netblock.v1.InstanceResourceService."""

from __future__ import annotations

from typing import Any

from protostar.netblock.v1 import netblock_pb2 as pb
from protostar.netblock.v1 import netblock_pb2_grpc

from netblock_svc.ports import Storage, VolumeBackend
from netblock_svc.rpc import translate, translate_instance
from netblock_svc.usecases import bindings
from netblock_svc.usecases.allocation import RandomBits
from svckit.clock import Clock


class InstanceResourceServicer(netblock_pb2_grpc.InstanceResourceServiceServicer):
    """An instance's side."""

    def __init__(self, storage: Storage, backend: VolumeBackend, clock: Clock, random_bits: RandomBits) -> None:
        self._storage = storage
        self._backend = backend
        self._clock = clock
        self._random_bits = random_bits

    async def BindInstance(self, request: pb.BindInstanceRequest, context: Any) -> pb.BindInstanceResponse:
        bound = await bindings.bind_instance(
            self._storage,
            translate_instance.binding(request),
            validate_only=request.validate_only,
            clock=self._clock,
            random_bits=self._random_bits,
        )
        return pb.BindInstanceResponse() if request.validate_only else translate_instance.bound(bound)

    async def ReleaseInstance(self, request: pb.ReleaseInstanceRequest, context: Any) -> pb.ReleaseInstanceResponse:
        instance = translate.uid(request.instance, "instance")
        await bindings.release_instance(self._storage, instance, request.generation, clock=self._clock)
        return pb.ReleaseInstanceResponse()

    async def GetInstanceNetworkInfo(
        self, request: pb.GetInstanceNetworkInfoRequest, context: Any
    ) -> pb.GetInstanceNetworkInfoResponse:
        vifs = await bindings.network_info(self._storage, translate.uid(request.instance, "instance"))
        return pb.GetInstanceNetworkInfoResponse(vifs=map(translate_instance.vif, vifs))

    async def GetInstanceBlockDeviceInfo(
        self, request: pb.GetInstanceBlockDeviceInfoRequest, context: Any
    ) -> pb.GetInstanceBlockDeviceInfoResponse:
        instance = translate.uid(request.instance, "instance")
        volumes = await bindings.connected_volumes(self._storage, self._backend, instance)
        return translate_instance.block_device_info(request, volumes)
