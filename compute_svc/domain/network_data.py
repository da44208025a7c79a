"""`network_data.json`: how the guest is to set up its interfaces (Nova: virt/netutils.py). Pure.

An interface is set up by DHCP where somebody answers it: always on a USER network, where QEMU hands out exactly the
address that netblock_svc allocated, and on subnets with a known `dhcp_server`. Elsewhere the allocated address is
given, as nobody else would; a subnet without one is left to DHCP, or to router advertisements for IPv6.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

from compute_svc.domain.model import Vif, VifKind, VifSubnet

# cloud-init knows few kinds; what it does not know it warns of and takes for "phy".
_LINK_TYPES: Mapping[VifKind, str] = MappingProxyType(
    {VifKind.USER: "phy", VifKind.BRIDGE: "bridge", VifKind.NETWORK: "bridge", VifKind.OVS: "ovs"}
)
_ANYWHERE = MappingProxyType({4: ("0.0.0.0", "0.0.0.0"), 6: ("::", "::")})


def network_data(vifs: Sequence[Vif]) -> dict[str, object]:
    """Links, networks (one for each subnet of each VIF) and name servers."""
    subnets = [(vif, subnet) for vif in vifs for subnet in vif.network.subnets]
    return {
        "links": [_link(vif) for vif in vifs],
        "networks": [_network(index, vif, subnet) for index, (vif, subnet) in enumerate(subnets)],
        "services": list(_services([subnet for _, subnet in subnets])),
    }


def _link(vif: Vif) -> dict[str, object]:
    return {
        "id": _link_id(vif),
        "vif_id": vif.id,
        "type": _LINK_TYPES[vif.type],
        "ethernet_mac_address": vif.address,
        "mtu": vif.network.mtu or None,
    }


def _link_id(vif: Vif) -> str:
    return vif.devname or f"tap{vif.id[:11]}"


def _network(index: int, vif: Vif, subnet: VifSubnet) -> dict[str, object]:
    common = {"id": f"network{index}", "link": _link_id(vif), "network_id": vif.network.id}
    if vif.type is VifKind.USER or subnet.dhcp_server or not subnet.ips:
        return {**common, "type": _dynamic_type(subnet)}
    return {**common, **_static(subnet)}


def _dynamic_type(subnet: VifSubnet) -> str:
    if subnet.version == 6 and not subnet.dhcp_server:
        return "ipv6_slaac"
    return f"ipv{subnet.version}_dhcp"


def _static(subnet: VifSubnet) -> dict[str, object]:
    return {
        "type": f"ipv{subnet.version}",
        "ip_address": subnet.ips[0].address,
        "netmask": str(ipaddress.ip_network(subnet.cidr, strict=False).netmask),
        "routes": [_default_route(subnet)] if subnet.gateway else [],
        "services": list(_services([subnet])),
    }


def _default_route(subnet: VifSubnet) -> dict[str, str]:
    network, netmask = _ANYWHERE[subnet.version]
    return {"network": network, "netmask": netmask, "gateway": subnet.gateway}


def _services(subnets: Sequence[VifSubnet]) -> Iterator[dict[str, str]]:
    """Each name server once, in order."""
    for address in dict.fromkeys(address for subnet in subnets for address in subnet.dns):
        yield {"type": "dns", "address": address}
