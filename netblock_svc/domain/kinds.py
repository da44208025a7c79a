"""The kinds of network: what each decides about addresses and plugs.

A further kind (OVS, OVN) is one more class here, one more line in KINDS, and passes the same contract test.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv4Network
from typing import Protocol

from netblock_svc.domain import addressing
from netblock_svc.domain.addressing import SLICE_PREFIX, SLICE_SIZE, IPAddress, IPNetwork, Pool
from netblock_svc.domain.network import (
    Network,
    NetworkKind,
    Subnet,
    WantedSubnet,
    parse_address,
    parse_cidr,
    parse_dns,
)
from netblock_svc.domain.vif import Plug, VifSubnet, VifType
from svckit.errors import InvalidArgument


class Kind(Protocol):
    """A kind of network. Its answers follow from their arguments alone."""

    def subnet(self, uid: str, wanted: WantedSubnet, field: str) -> Subnet:
        """The subnet with every default filled in.

        :raise InvalidArgument: such a network cannot have it, or it has no address to hand out.
        """

    def pool(self, subnet: Subnet) -> Pool:
        """The addresses that its ports may have."""

    def refusal(self, subnet: Subnet, address: IPAddress) -> str:
        """Why an address outside the pool cannot be had, and which could."""

    def plug(self, network: Network) -> Plug:
        """Where its VIFs are plugged."""

    def vif_subnet(self, subnet: Subnet, address: IPAddress) -> VifSubnet:
        """What a guest with this address sees around itself."""


class UserKind:
    """QEMU's user-mode network: every port is alone in a /27, whose 15th address QEMU's DHCP hands out."""

    def subnet(self, uid: str, wanted: WantedSubnet, field: str) -> Subnet:
        cidr = parse_cidr(wanted.cidr, f"{field}.cidr")
        if not isinstance(cidr, IPv4Network) or cidr.prefixlen > SLICE_PREFIX:
            raise InvalidArgument.field(f"{field}.cidr", f"must be IPv4, /{SLICE_PREFIX} or larger, on a USER network")
        if wanted.gateway:
            raise InvalidArgument.field(f"{field}.gateway", "follows from each port's /27 on a USER network")
        ends = _ends(wanted, cidr, cidr[addressing.SLICE_GUEST], cidr[addressing.SLICE_GUEST - SLICE_SIZE], field)
        subnet = Subnet(
            uid=uid, cidr=cidr, gateway=None, dns=parse_dns(wanted.dns, f"{field}.dns"), first=ends[0], last=ends[1]
        )
        return _with_addresses(subnet, self.pool(subnet), field)

    def pool(self, subnet: Subnet) -> Pool:
        assert isinstance(subnet.first, IPv4Address) and isinstance(subnet.last, IPv4Address)
        return addressing.slice_pool(subnet.first, subnet.last)

    def refusal(self, subnet: Subnet, address: IPAddress) -> str:
        assert isinstance(address, IPv4Address)
        near = addressing.slice_of(address)
        if address != near[addressing.SLICE_GUEST]:
            return (
                f"{address} is not the 15th address of a /27, the only one that QEMU's DHCP gives on a USER network:"
                f" in {near} that is {near[addressing.SLICE_GUEST]}"
            )
        return _outside(subnet, address)

    def plug(self, network: Network) -> Plug:
        return Plug(type=VifType.USER)

    def vif_subnet(self, subnet: Subnet, address: IPAddress) -> VifSubnet:
        assert isinstance(address, IPv4Address)
        near = addressing.slice_of(address)
        host = near[addressing.SLICE_GATEWAY]
        dns = subnet.dns or (near[addressing.SLICE_DNS],)
        return VifSubnet(cidr=near, gateway=host, dns=dns, dhcp_server=host, address=address)


class SharedKind:
    """A segment that all ports share: a bridge or a libvirt network. Its DHCP is somebody else's."""

    def subnet(self, uid: str, wanted: WantedSubnet, field: str) -> Subnet:
        cidr = parse_cidr(wanted.cidr, f"{field}.cidr")
        first, last = addressing.host_range(cidr)
        gateway = _gateway(wanted.gateway, cidr, f"{field}.gateway")
        ends = _ends(
            wanted,
            cidr,
            first + 1 if first == gateway and first != last else first,
            last - 1 if last == gateway and first != last else last,
            field,
        )
        dns = parse_dns(wanted.dns, f"{field}.dns")
        subnet = Subnet(uid=uid, cidr=cidr, gateway=gateway, dns=dns, first=ends[0], last=ends[1])
        return _with_addresses(subnet, self.pool(subnet), field)

    def pool(self, subnet: Subnet) -> Pool:
        return addressing.pool_between(subnet.first, subnet.last, subnet.gateway)

    def refusal(self, subnet: Subnet, address: IPAddress) -> str:
        if address == subnet.gateway:
            return f"{address} is the gateway of {subnet.cidr}"
        return _outside(subnet, address)

    def plug(self, network: Network) -> Plug:
        if network.kind is NetworkKind.LIBVIRT:
            return Plug(type=VifType.NETWORK, bridge=network.libvirt_network)
        return Plug(type=VifType.BRIDGE, bridge=network.bridge)

    def vif_subnet(self, subnet: Subnet, address: IPAddress) -> VifSubnet:
        return VifSubnet(cidr=subnet.cidr, gateway=subnet.gateway, dns=subnet.dns, dhcp_server=None, address=address)


KINDS: Mapping[NetworkKind, Kind] = {
    NetworkKind.USER: UserKind(),
    NetworkKind.BRIDGE: SharedKind(),
    NetworkKind.LIBVIRT: SharedKind(),
}


def _gateway(text: str, cidr: IPNetwork, field: str) -> IPAddress | None:
    """The gateway, by default the first address; none in a range of one address."""
    first, last = addressing.host_range(cidr)
    if not text:
        return first if first != last else None
    gateway = parse_address(text, field)
    if gateway.version == 6 and gateway.is_link_local and cidr.version == 6:
        return gateway
    if gateway not in cidr or not int(first) <= int(gateway) <= int(last):
        raise InvalidArgument.field(field, f"must be an address from {first} to {last}, got {gateway}")
    return gateway


def _ends(
    wanted: WantedSubnet, cidr: IPNetwork, first: IPAddress, last: IPAddress, field: str
) -> tuple[IPAddress, IPAddress]:
    """The first and the last address to hand out, checked where they were given."""
    low, high = addressing.host_range(cidr)
    ends = []
    for name, text, default in (("first", wanted.first_address, first), ("last", wanted.last_address, last)):
        address = parse_address(text, f"{field}.{name}_address") if text else default
        if address.version != cidr.version or not int(low) <= int(address) <= int(high):
            raise InvalidArgument.field(f"{field}.{name}_address", f"must be from {low} to {high}, got {address}")
        ends.append(address)
    if int(ends[0]) > int(ends[1]):
        raise InvalidArgument.field(f"{field}.first_address", f"{ends[0]} comes after last_address {ends[1]}")
    return ends[0], ends[1]


def _with_addresses(subnet: Subnet, pool: Pool, field: str) -> Subnet:
    if not pool.slots:
        raise InvalidArgument.field(field, f"leaves no address to hand out between {subnet.first} and {subnet.last}")
    return subnet


def _outside(subnet: Subnet, address: IPAddress) -> str:
    return f"{address} is not handed out; {subnet.cidr} hands out {subnet.first} to {subnet.last}"
