"""From what was asked for to what will be."""

from __future__ import annotations

from datetime import datetime

from netblock_svc.domain.addressing import IPAddress
from netblock_svc.domain.kinds import KINDS
from netblock_svc.domain.network import (
    DEFAULT_MTU,
    Network,
    Subnet,
    WantedNetwork,
    check_network,
    check_subnets,
    subnet_uid,
)
from netblock_svc.domain.port import Port
from netblock_svc.domain.vif import Vif
from svckit.errors import InvalidArgument


def plan_network(wanted: WantedNetwork, at: datetime) -> Network:
    """The network that a request asks for.

    :raise InvalidArgument: a field of it is wrong.
    """
    check_network(wanted)
    kind = KINDS[wanted.kind]
    subnets = tuple(
        kind.subnet(subnet_uid(wanted.uid, i), subnet, f"network.subnets[{i}]")
        for i, subnet in enumerate(wanted.subnets)
    )
    mtu = wanted.mtu or DEFAULT_MTU
    check_subnets(subnets, mtu)
    return Network(
        uid=wanted.uid,
        display_name=wanted.display_name,
        project=wanted.project,
        kind=wanted.kind,
        bridge=wanted.bridge,
        libvirt_network=wanted.libvirt_network,
        mtu=mtu,
        subnets=subnets,
        create_time=at,
    )


def check_address(network: Network, subnet: Subnet, address: IPAddress) -> None:
    """Refuse a wanted address that no port of the network may have.

    :raise InvalidArgument: it is the gateway's, the network's own, not the guest's of a /27, or not to be handed out.
    """
    kind = KINDS[network.kind]
    if kind.pool(subnet).slot(address) is None:
        raise InvalidArgument.field("port.ip_addresses", kind.refusal(subnet, address))


def make_vif(network: Network, port: Port) -> Vif:
    """The VIF of a port."""
    kind = KINDS[network.kind]
    held = {ip.subnet: ip.address for ip in port.fixed_ips}
    return Vif(
        port=port,
        network=network,
        plug=kind.plug(network),
        subnets=tuple(kind.vif_subnet(subnet, held[subnet.uid]) for subnet in network.subnets if subnet.uid in held),
    )
