"""Between messages and values of an instance's side: bindings, VIFs, block devices."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address

from protostar.api.v1 import instance_pb2
from protostar.netblock.v1 import netblock_pb2 as pb

from netblock_svc.domain.binding import Binding, Bound, WantedDisk, WantedInterface
from netblock_svc.domain.block_device import ConnectedVolume
from netblock_svc.domain.network import Network
from netblock_svc.domain.port import Port
from netblock_svc.domain.vif import Vif, VifSubnet, VifType
from netblock_svc.domain.volume import Connection, Volume, parse_device
from netblock_svc.rpc.translate import addresses, uid
from svckit import names

_VIF_TYPES = {
    VifType.USER: pb.VIF_TYPE_USER,
    VifType.BRIDGE: pb.VIF_TYPE_BRIDGE,
    VifType.NETWORK: pb.VIF_TYPE_NETWORK,
}
_NOT_BOOTABLE = -1


def binding(request: pb.BindInstanceRequest) -> Binding:
    """:raise InvalidArgument: a name or a device is not one."""
    return Binding(
        instance=uid(request.instance, "instance"),
        generation=request.generation,
        project=request.project,
        interfaces=tuple(_interface(port, f"ports[{i}]") for i, port in enumerate(request.ports)),
        disks=tuple(_disk(volume, f"volumes[{i}]") for i, volume in enumerate(request.volumes)),
    )


def bound(value: Bound) -> pb.BindInstanceResponse:
    """As it goes over the wire."""
    return pb.BindInstanceResponse(
        ports=[_instance_port(port) for port in value.ports],
        volumes=[_instance_volume(volume) for volume in value.volumes],
    )


def vif(value: Vif) -> pb.Vif:
    """As it goes over the wire."""
    return pb.Vif(
        id=value.port.uid,
        address=value.port.mac_address,
        type=_VIF_TYPES[value.plug.type],
        vnic_type="normal",
        devname=value.devname,
        ovs_interfaceid=value.port.uid,
        active=True,
        preserve_on_delete=value.preserve_on_delete,
        details=value.details,
        network=_vif_network(value.network, value.plug.bridge, value.subnets),
    )


def block_device_info(
    request: pb.GetInstanceBlockDeviceInfoRequest, volumes: Sequence[ConnectedVolume]
) -> pb.GetInstanceBlockDeviceInfoResponse:
    """All disks of an instance: those that follow from its flavor and image, and its volumes."""
    flavor = request.flavor
    image = pb.ImageBlockDevice(size_gib=flavor.root_gib, boot_index=0, image_id=request.image)
    ephemeral = pb.EphemeralBlockDevice(size_gib=flavor.ephemeral_gib, device_type="disk")
    return pb.GetInstanceBlockDeviceInfoResponse(
        image=[image] if request.image else [],
        ephemerals=[ephemeral] if flavor.ephemeral_gib else [],
        swap=pb.SwapBlockDevice(swap_size_mib=flavor.swap_mib) if flavor.swap_mib else None,
        block_device_mapping=[_volume_device(each) for each in volumes],
    )


def _interface(port: instance_pb2.InstancePort, field: str) -> WantedInterface:
    return WantedInterface(
        port=names.parse("ports", port.port, f"{field}.port") if port.port else "",
        network=names.parse("networks", port.network, f"{field}.network") if port.network else "",
    )


def _disk(volume: instance_pb2.InstanceVolume, field: str) -> WantedDisk:
    return WantedDisk(
        volume=names.parse("volumes", volume.volume, f"{field}.volume"),
        device=parse_device(volume.device, f"{field}.device"),
    )


def _instance_port(port: Port) -> instance_pb2.InstancePort:
    return instance_pb2.InstancePort(
        port=f"ports/{port.uid}",
        network=f"networks/{port.network}",
        mac_address=port.mac_address,
        ip_addresses=addresses(port),
    )


def _instance_volume(volume: Volume) -> instance_pb2.InstanceVolume:
    device = volume.attachment.device if volume.attachment else ""
    return instance_pb2.InstanceVolume(volume=f"volumes/{volume.uid}", device=device)


def _vif_network(network: Network, bridge: str, subnets: Sequence[VifSubnet]) -> pb.VifNetwork:
    return pb.VifNetwork(
        id=network.uid,
        bridge=bridge,
        label=network.display_name,
        mtu=network.mtu,
        tenant_id=network.project,
        subnets=[_vif_subnet(subnet) for subnet in subnets],
    )


def _vif_subnet(subnet: VifSubnet) -> pb.VifSubnet:
    version = 4 if isinstance(subnet.address, IPv4Address) else 6
    return pb.VifSubnet(
        cidr=str(subnet.cidr),
        version=version,
        gateway=str(subnet.gateway or ""),
        dns=map(str, subnet.dns),
        dhcp_server=str(subnet.dhcp_server or ""),
        ips=[pb.FixedIp(address=str(subnet.address), version=version, type="fixed")],
    )


def _volume_device(each: ConnectedVolume) -> pb.VolumeBlockDevice:
    attachment = each.volume.attachment
    assert attachment is not None
    return pb.VolumeBlockDevice(
        mount_device=f"/dev/{attachment.device}" if attachment.device else "",
        volume_id=each.volume.uid,
        volume_size_gib=each.volume.size_gib,
        attachment_id=attachment.uid,
        boot_index=_NOT_BOOTABLE,
        device_type="disk",
        connection_info=_connection_info(each.volume, each.connection) if each.connection else None,
    )


def _connection_info(volume: Volume, connection: Connection) -> pb.ConnectionInfo:
    local = pb.LocalConnection(
        device_path=connection.device_path, format=connection.format, access_mode=connection.access_mode
    )
    return pb.ConnectionInfo(driver_volume_type="local", serial=volume.uid, local=local)
