"""Between messages and values of networks, ports and volumes."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from google.protobuf.timestamp_pb2 import Timestamp
from protostar.api.v1 import network_pb2, volume_pb2
from protostar.netblock.v1 import netblock_pb2 as pb

from netblock_svc.domain.network import Network, NetworkKind, Subnet, WantedNetwork, WantedSubnet
from netblock_svc.domain.port import Port, WantedPort
from netblock_svc.domain.volume import Attachment, Volume, plan_volume
from netblock_svc.usecases.pages import Query
from svckit import names
from svckit.errors import InvalidArgument

_KINDS = {
    network_pb2.NETWORK_KIND_USER: NetworkKind.USER,
    network_pb2.NETWORK_KIND_BRIDGE: NetworkKind.BRIDGE,
    network_pb2.NETWORK_KIND_LIBVIRT: NetworkKind.LIBVIRT,
}
_KIND_NUMBERS = {kind: number for number, kind in _KINDS.items()}


class ListRequest(Protocol):
    """What all List requests have."""

    @property
    def page_size(self) -> int: ...
    @property
    def page_token(self) -> str: ...
    @property
    def filter(self) -> str: ...
    @property
    def project(self) -> str: ...


def query(request: ListRequest) -> Query:
    """The list that is asked for."""
    return Query(
        page_size=request.page_size,
        page_token=request.page_token,
        filter=request.filter,
        project=request.project,
    )


def uid(text: str, field: str) -> str:
    """:raise InvalidArgument: it is not a UUID."""
    if not names.is_uuid(text):
        raise InvalidArgument.field(field, f"must be a UUID in lower case, got {text!r}")
    return text


def wanted_network(request: pb.CreateNetworkRequest) -> WantedNetwork:
    """:raise InvalidArgument: id or kind is missing."""
    wanted = request.network
    if wanted.kind not in _KINDS:
        raise InvalidArgument.field(
            "network.kind", f"must be given; there are {', '.join(map(str.upper, NetworkKind))}"
        )
    return WantedNetwork(
        uid=uid(request.uid, "uid"),
        project=wanted.project,
        display_name=wanted.display_name,
        kind=_KINDS[wanted.kind],
        bridge=wanted.bridge,
        libvirt_network=wanted.libvirt_network,
        mtu=wanted.mtu,
        subnets=tuple(_wanted_subnet(subnet) for subnet in wanted.subnets),
    )


def wanted_port(request: pb.CreatePortRequest) -> WantedPort:
    """:raise InvalidArgument: an id or a name is not one."""
    wanted = request.port
    return WantedPort(
        uid=uid(request.uid, "uid"),
        project=wanted.project,
        network=names.parse("networks", wanted.network, "port.network"),
        display_name=wanted.display_name,
        mac_address=wanted.mac_address,
        ip_addresses=tuple(wanted.ip_addresses),
    )


def wanted_volume(request: pb.CreateVolumeRequest, at: datetime) -> Volume:
    """:raise InvalidArgument: a field is wrong."""
    wanted = request.volume
    return plan_volume(uid(request.uid, "uid"), wanted.project, wanted.display_name, wanted.size_gib, wanted.format, at)


def network(value: Network) -> network_pb2.Network:
    """As it goes over the wire."""
    return network_pb2.Network(
        name=f"networks/{value.uid}",
        uid=value.uid,
        display_name=value.display_name,
        project=value.project,
        kind=_KIND_NUMBERS[value.kind],
        bridge=value.bridge,
        libvirt_network=value.libvirt_network,
        mtu=value.mtu,
        subnets=[_subnet(subnet) for subnet in value.subnets],
        create_time=timestamp(value.create_time),
    )


def port(value: Port) -> network_pb2.Port:
    """As it goes over the wire."""
    return network_pb2.Port(
        name=f"ports/{value.uid}",
        uid=value.uid,
        display_name=value.display_name,
        project=value.project,
        network=f"networks/{value.network}",
        mac_address=value.mac_address,
        ip_addresses=addresses(value),
        instance=f"instances/{value.instance}" if value.instance else "",
        create_time=timestamp(value.create_time),
    )


def addresses(value: Port) -> list[str]:
    """A port's fixed IPs."""
    return [str(ip.address) for ip in value.fixed_ips]


def volume(value: Volume) -> volume_pb2.Volume:
    """As it goes over the wire."""
    return volume_pb2.Volume(
        name=f"volumes/{value.uid}",
        uid=value.uid,
        display_name=value.display_name,
        project=value.project,
        size_gib=value.size_gib,
        format=value.format,
        attachment=_attachment(value.attachment) if value.attachment else None,
        create_time=timestamp(value.create_time),
    )


def timestamp(moment: datetime) -> Timestamp:
    """As it goes over the wire."""
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp


def _wanted_subnet(subnet: network_pb2.Subnet) -> WantedSubnet:
    return WantedSubnet(
        cidr=subnet.cidr,
        gateway=subnet.gateway,
        dns=tuple(subnet.dns),
        first_address=subnet.first_address,
        last_address=subnet.last_address,
    )


def _subnet(subnet: Subnet) -> network_pb2.Subnet:
    return network_pb2.Subnet(
        cidr=str(subnet.cidr),
        gateway=str(subnet.gateway or ""),
        dns=map(str, subnet.dns),
        first_address=str(subnet.first),
        last_address=str(subnet.last),
    )


def _attachment(attachment: Attachment) -> volume_pb2.Attachment:
    return volume_pb2.Attachment(
        uid=attachment.uid,
        instance=f"instances/{attachment.instance}",
        device=attachment.device,
        attach_time=timestamp(attachment.attach_time),
    )
