"""The Netblock port over gRPC."""

from __future__ import annotations

import grpc
from protostar.api.v1 import instance_pb2
from protostar.netblock.v1 import netblock_pb2 as pb
from protostar.netblock.v1 import netblock_pb2_grpc

from compute_svc.adapters.peer import calling
from compute_svc.domain.model import (
    BlockDeviceInfo,
    ConnectionInfo,
    EphemeralBlockDevice,
    FixedIp,
    ImageBlockDevice,
    InstanceSpec,
    LocalConnection,
    SwapBlockDevice,
    Vif,
    VifKind,
    VifNetwork,
    VifSubnet,
    VolumeBlockDevice,
)
from svckit.errors import FailedPrecondition

_PEER, _REASON = "netblock_svc", "NETBLOCK_UNAVAILABLE"
# Reading: one that takes longer is asked again.
_SECONDS = 10.0
_KINDS = {
    pb.VIF_TYPE_USER: VifKind.USER,
    pb.VIF_TYPE_BRIDGE: VifKind.BRIDGE,
    pb.VIF_TYPE_NETWORK: VifKind.NETWORK,
    pb.VIF_TYPE_OVS: VifKind.OVS,
}


class NetblockClient:
    """See ports.Netblock."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub: netblock_pb2_grpc.InstanceResourceServiceAsyncStub = netblock_pb2_grpc.InstanceResourceServiceStub(
            channel
        )

    async def network_info(self, uid: str, seconds: float) -> tuple[Vif, ...]:
        request = pb.GetInstanceNetworkInfoRequest(instance=uid)
        with calling(_PEER, _REASON):
            answer = await self._stub.GetInstanceNetworkInfo(request, timeout=min(seconds, _SECONDS))
        return tuple(_vif(vif) for vif in answer.vifs)

    async def block_device_info(self, spec: InstanceSpec, seconds: float) -> BlockDeviceInfo:
        flavor = instance_pb2.Flavor(
            vcpus=spec.flavor.vcpus,
            memory_mib=spec.flavor.memory_mib,
            root_gib=spec.flavor.root_gib,
            ephemeral_gib=spec.flavor.ephemeral_gib,
            swap_mib=spec.flavor.swap_mib,
        )
        request = pb.GetInstanceBlockDeviceInfoRequest(instance=spec.uid, flavor=flavor, image=spec.image)
        with calling(_PEER, _REASON):
            answer = await self._stub.GetInstanceBlockDeviceInfo(request, timeout=min(seconds, _SECONDS))
        return _block_devices(answer)


def _vif(vif: pb.Vif) -> Vif:
    kind = _KINDS.get(vif.type)
    if kind is None:
        raise FailedPrecondition(
            f"port {vif.id} is of a kind that this host does not know ({vif.type})",
            reason="UNSUPPORTED_VIF",
            metadata={"port": vif.id},
        )
    return Vif(
        id=vif.id,
        address=vif.address,
        type=kind,
        network=_network(vif.network),
        vnic_type=vif.vnic_type,
        devname=vif.devname,
        ovs_interfaceid=vif.ovs_interfaceid,
        active=vif.active,
        preserve_on_delete=vif.preserve_on_delete,
        profile=dict(vif.profile),
        details=dict(vif.details),
    )


def _network(network: pb.VifNetwork) -> VifNetwork:
    return VifNetwork(
        id=network.id,
        bridge=network.bridge,
        label=network.label,
        mtu=network.mtu,
        tenant_id=network.tenant_id,
        subnets=tuple(_subnet(subnet) for subnet in network.subnets),
    )


def _subnet(subnet: pb.VifSubnet) -> VifSubnet:
    return VifSubnet(
        cidr=subnet.cidr,
        version=subnet.version,
        gateway=subnet.gateway,
        dns=tuple(subnet.dns),
        dhcp_server=subnet.dhcp_server,
        ips=tuple(FixedIp(address=ip.address, version=ip.version, type=ip.type) for ip in subnet.ips),
    )


def _block_devices(answer: pb.GetInstanceBlockDeviceInfoResponse) -> BlockDeviceInfo:
    return BlockDeviceInfo(
        root_device_name=answer.root_device_name,
        image=tuple(_image(device) for device in answer.image),
        ephemerals=tuple(_ephemeral(device) for device in answer.ephemerals),
        swap=_swap(answer.swap) if answer.HasField("swap") else None,
        volumes=tuple(_volume(device) for device in answer.block_device_mapping),
    )


def _image(device: pb.ImageBlockDevice) -> ImageBlockDevice:
    return ImageBlockDevice(
        image_id=device.image_id,
        device_name=device.device_name,
        size_gib=device.size_gib,
        disk_bus=device.disk_bus,
        device_type=device.device_type,
        boot_index=device.boot_index,
    )


def _ephemeral(device: pb.EphemeralBlockDevice) -> EphemeralBlockDevice:
    return EphemeralBlockDevice(
        size_gib=device.size_gib,
        device_name=device.device_name,
        disk_bus=device.disk_bus,
        device_type=device.device_type,
        guest_format=device.guest_format,
    )


def _swap(device: pb.SwapBlockDevice) -> SwapBlockDevice:
    return SwapBlockDevice(swap_size_mib=device.swap_size_mib, device_name=device.device_name, disk_bus=device.disk_bus)


def _volume(device: pb.VolumeBlockDevice) -> VolumeBlockDevice:
    return VolumeBlockDevice(
        volume_id=device.volume_id,
        mount_device=device.mount_device,
        volume_size_gib=device.volume_size_gib,
        attachment_id=device.attachment_id,
        boot_index=device.boot_index,
        device_type=device.device_type,
        disk_bus=device.disk_bus,
        delete_on_termination=device.delete_on_termination,
        connection_info=_connection(device.connection_info) if _is_connected(device) else None,
    )


def _is_connected(device: pb.VolumeBlockDevice) -> bool:
    """netblock_svc's comment allows an empty connection as well as none."""
    return device.HasField("connection_info") and bool(device.connection_info.driver_volume_type)


def _connection(info: pb.ConnectionInfo) -> ConnectionInfo:
    local = None
    if info.HasField("local"):
        local = LocalConnection(
            device_path=info.local.device_path, format=info.local.format, access_mode=info.local.access_mode or "rw"
        )
    return ConnectionInfo(driver_volume_type=info.driver_volume_type, serial=info.serial, local=local)
