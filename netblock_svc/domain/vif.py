"""VIFs: an instance's interfaces as its compute host needs to know them (Nova: network_info)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from netblock_svc.domain.addressing import IPAddress, IPNetwork
from netblock_svc.domain.network import Network
from netblock_svc.domain.port import Port

_DEVNAME_LENGTH = 14  # Nova: NIC_NAME_LEN; Linux takes 15


class VifType(StrEnum):
    """How a VIF is plugged."""

    USER = "user"
    BRIDGE = "bridge"
    NETWORK = "network"


@dataclass(frozen=True, kw_only=True)
class Plug:
    """Where a VIF goes: a bridge or a libvirt network by the host's name, "" for none."""

    type: VifType
    bridge: str = ""


@dataclass(frozen=True, kw_only=True)
class VifSubnet:
    """The range that a VIF's address is in, seen from the guest."""

    cidr: IPNetwork
    gateway: IPAddress | None
    dns: tuple[IPAddress, ...]
    dhcp_server: IPAddress | None
    address: IPAddress


@dataclass(frozen=True, kw_only=True)
class Vif:
    """One interface of an instance."""

    port: Port
    network: Network
    plug: Plug
    subnets: tuple[VifSubnet, ...]

    @property
    def devname(self) -> str:
        """The host's device (Nova: "tap" and the first 11 characters of the port's id)."""
        return f"tap{self.port.uid}"[:_DEVNAME_LENGTH]

    @property
    def preserve_on_delete(self) -> bool:
        """Whether the port outlives the instance."""
        return not self.port.made_for_instance

    @property
    def details(self) -> Mapping[str, str]:
        """What else the plugging needs to know; none of today's kinds has any."""
        return {}
