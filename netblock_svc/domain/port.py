"""Ports: a MAC address and fixed IPs on a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from netblock_svc.domain.addressing import IPAddress
from netblock_svc.domain.mac import check_mac
from netblock_svc.domain.network import Network, parse_address
from netblock_svc.domain.wording import check_display_name
from svckit.errors import InvalidArgument


@dataclass(frozen=True, kw_only=True)
class FixedIp:
    """An address of a subnet that a port holds."""

    subnet: str
    address: IPAddress


@dataclass(frozen=True, kw_only=True)
class Port:
    """A port. `instance` and `position` (its place in guest order) are None while none uses it."""

    uid: str
    display_name: str
    project: str
    network: str
    mac_address: str
    fixed_ips: tuple[FixedIp, ...]
    create_time: datetime
    instance: str | None = None
    position: int | None = None
    made_for_instance: bool = False

    def is_visible_to(self, project: str) -> bool:
        """Whether a project may see and use it; "" stands for one that may see all."""
        return project in ("", self.project)


@dataclass(frozen=True, kw_only=True)
class WantedPort:
    """A port as its maker wrote it; empty lets the server choose."""

    uid: str
    project: str
    network: str
    display_name: str = ""
    mac_address: str = ""
    ip_addresses: tuple[str, ...] = ()
    made_for_instance: bool = False


def check_port(wanted: WantedPort) -> None:
    """Refuse what is wrong on whatever network.

    :raise InvalidArgument: a field is.
    """
    check_display_name(wanted.display_name, "port.display_name", required=False)
    if wanted.mac_address:
        check_mac(wanted.mac_address, "port.mac_address")


def wanted_addresses(network: Network, texts: Sequence[str]) -> Mapping[str, IPAddress]:
    """The wanted address of each subnet for which there is one.

    :raise InvalidArgument: one is no address, is in none of the network's subnets, or in the same as another.
    """
    found: dict[str, IPAddress] = {}
    for i, text in enumerate(texts):
        field = f"port.ip_addresses[{i}]"
        address = parse_address(text, field)
        subnet = next((subnet for subnet in network.subnets if address in subnet.cidr), None)
        if subnet is None:
            ranges = ", ".join(str(subnet.cidr) for subnet in network.subnets)
            raise InvalidArgument.field(field, f"{address} is outside network {network.uid}, which has {ranges}")
        if subnet.uid in found:
            raise InvalidArgument.field(field, f"{address} is the second one in {subnet.cidr}; a port has one of each")
        found[subnet.uid] = address
    return found


def is_as_wanted(port: Port, wanted: WantedPort) -> bool:
    """Whether a port is what asking for `wanted` would have made."""
    held = {str(ip.address) for ip in port.fixed_ips}
    asked = {str(parse_address(text, "port.ip_addresses")) for text in wanted.ip_addresses}
    return (
        (port.network, port.project, port.display_name) == (wanted.network, wanted.project, wanted.display_name)
        and wanted.mac_address in ("", port.mac_address)
        and asked <= held
        and port.made_for_instance == wanted.made_for_instance
    )
