"""Networks and their subnets: what they are, and which ones are accepted."""

from __future__ import annotations

import itertools
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from ipaddress import ip_address, ip_network

from netblock_svc.domain.addressing import IPAddress, IPNetwork
from netblock_svc.domain.wording import check_display_name
from svckit.errors import InvalidArgument

DEFAULT_MTU = 1500
_MTU = range(576, 9217)
_IPV6_MTU = 1280  # RFC 8200, section 5
_MAX_SUBNETS = 32
_MAX_DNS = 8
_BRIDGE = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9_.-]{1,15}")  # Linux: IFNAMSIZ - 1, no slash, no space, no colon


class NetworkKind(StrEnum):
    """How a network reaches a guest."""

    USER = "user"  # QEMU's own user-mode network
    BRIDGE = "bridge"  # a Linux bridge of the host
    LIBVIRT = "libvirt"  # a libvirt network of the host


@dataclass(frozen=True, kw_only=True)
class Subnet:
    """A range of a network, every default filled in."""

    uid: str
    cidr: IPNetwork
    gateway: IPAddress | None
    dns: tuple[IPAddress, ...]
    first: IPAddress
    last: IPAddress


@dataclass(frozen=True, kw_only=True)
class Network:
    """A network. `project` is "" for one that everybody may use."""

    uid: str
    display_name: str
    project: str
    kind: NetworkKind
    bridge: str
    libvirt_network: str
    mtu: int
    subnets: tuple[Subnet, ...]
    create_time: datetime

    def is_visible_to(self, project: str) -> bool:
        """Whether a project may see and use it; "" stands for one that may see all."""
        return project in ("", self.project) or not self.project


@dataclass(frozen=True, kw_only=True)
class WantedSubnet:
    """A range as its maker wrote it; empty means default."""

    cidr: str
    gateway: str = ""
    dns: tuple[str, ...] = ()
    first_address: str = ""
    last_address: str = ""


@dataclass(frozen=True, kw_only=True)
class WantedNetwork:
    """A network as its maker wrote it."""

    uid: str
    project: str
    display_name: str
    kind: NetworkKind
    subnets: tuple[WantedSubnet, ...]
    bridge: str = ""
    libvirt_network: str = ""
    mtu: int = 0


def check_network(wanted: WantedNetwork) -> None:
    """Refuse what is wrong whatever the subnets are.

    :raise InvalidArgument: a field is.
    """
    check_display_name(wanted.display_name, "network.display_name")
    _check_place(wanted.kind is NetworkKind.BRIDGE, wanted.bridge, "network.bridge", "a BRIDGE network")
    if wanted.bridge and not _BRIDGE.fullmatch(wanted.bridge):
        raise InvalidArgument.field("network.bridge", f"is not a name of a network device: {wanted.bridge!r}")
    field = "network.libvirt_network"
    _check_place(wanted.kind is NetworkKind.LIBVIRT, wanted.libvirt_network, field, "a LIBVIRT network")
    check_display_name(wanted.libvirt_network, field, required=False)
    if "/" in wanted.libvirt_network:
        raise InvalidArgument.field(field, f"must not hold a slash, got {wanted.libvirt_network!r}")
    if wanted.mtu and wanted.mtu not in _MTU:
        raise InvalidArgument.field("network.mtu", f"must be 0 or {_MTU[0]} to {_MTU[-1]}, got {wanted.mtu}")
    if not 1 <= len(wanted.subnets) <= _MAX_SUBNETS:
        raise InvalidArgument.field("network.subnets", f"must be 1 to {_MAX_SUBNETS}, got {len(wanted.subnets)}")


def check_subnets(subnets: Sequence[Subnet], mtu: int) -> None:
    """Refuse subnets that do not go together.

    :raise InvalidArgument: two overlap, or an IPv6 subnet is on a network with too small frames.
    """
    for (i, one), (j, other) in itertools.combinations(enumerate(subnets), 2):
        if one.cidr.overlaps(other.cidr):
            raise InvalidArgument.field(
                f"network.subnets[{j}].cidr", f"{other.cidr} overlaps {one.cidr}, which is network.subnets[{i}]"
            )
    if mtu < _IPV6_MTU and any(subnet.cidr.version == 6 for subnet in subnets):
        raise InvalidArgument.field("network.mtu", f"must be at least {_IPV6_MTU} for IPv6, got {mtu}")


def subnet_uid(network: str, position: int) -> str:
    """The id of a network's subnet; it follows from the network's, so that making the network twice makes the same."""
    return str(uuid.uuid5(uuid.UUID(network), f"subnet {position}"))


def parse_cidr(text: str, field: str) -> IPNetwork:
    """:raise InvalidArgument: it is not a range of hosts, or names an address inside it."""
    try:
        meant = ip_network(text, strict=False)
    except ValueError as error:
        raise InvalidArgument.field(field, f"must be a range such as 10.0.0.0/24 or fd00::/64, got {text!r}") from error
    if str(ip_address(text.partition("/")[0])) != str(meant[0]):
        raise InvalidArgument.field(field, f"{text} names an address inside the range {meant}; write {meant}")
    if meant.is_multicast or meant.is_loopback or meant.is_unspecified:
        raise InvalidArgument.field(field, f"{meant} is not a range of hosts")
    return meant


def parse_address(text: str, field: str) -> IPAddress:
    """:raise InvalidArgument: it is not an IP address."""
    try:
        address = ip_address(text)
    except ValueError as error:
        raise InvalidArgument.field(field, f"must be an IP address without a prefix length, got {text!r}") from error
    if getattr(address, "scope_id", None):
        raise InvalidArgument.field(field, f"must not name a zone, got {text!r}")
    return address


def parse_dns(texts: Sequence[str], field: str) -> tuple[IPAddress, ...]:
    """:raise InvalidArgument: they are too many, or one is not an IP address."""
    if len(texts) > _MAX_DNS:
        raise InvalidArgument.field(field, f"must be at most {_MAX_DNS}, got {len(texts)}")
    return tuple(parse_address(text, f"{field}[{i}]") for i, text in enumerate(texts))


def _check_place(needed: bool, value: str, field: str, kind: str) -> None:
    if needed and not value:
        raise InvalidArgument.field(field, f"must be given for {kind}")
    if value and not needed:
        raise InvalidArgument.field(field, f"is only for {kind}")
