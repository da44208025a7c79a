"""Networks, ports and volumes as tests want them."""

from __future__ import annotations

import itertools
import secrets
import uuid
from datetime import UTC, datetime, timedelta

from netblock_svc.domain.binding import Binding, WantedDisk, WantedInterface
from netblock_svc.domain.network import Network, NetworkKind, WantedNetwork, WantedSubnet
from netblock_svc.domain.port import Port, WantedPort
from netblock_svc.domain.volume import Volume, plan_volume
from netblock_svc.ports import Storage
from netblock_svc.usecases.networks import create_network
from netblock_svc.usecases.ports import create_port

_BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
_ticks = itertools.count()


def clock() -> datetime:
    """Every look is a second later."""
    return _BEGIN + timedelta(seconds=next(_ticks))


def new_uid() -> str:
    return str(uuid.uuid4())


def bridge(*cidrs: str, project: str = "p", **fields: str) -> WantedNetwork:
    """A network on a bridge; `fields` are its first subnet's."""
    first, *others = cidrs
    return WantedNetwork(
        uid=new_uid(),
        project=project,
        display_name=new_uid(),
        kind=NetworkKind.BRIDGE,
        bridge="br0",
        subnets=(WantedSubnet(cidr=first, **fields), *(WantedSubnet(cidr=cidr) for cidr in others)),  # type: ignore[arg-type]
    )


def user(cidr: str, project: str = "p") -> WantedNetwork:
    """A user-mode network."""
    return WantedNetwork(
        uid=new_uid(),
        project=project,
        display_name=new_uid(),
        kind=NetworkKind.USER,
        subnets=(WantedSubnet(cidr=cidr),),
    )


async def make_network(storage: Storage, wanted: WantedNetwork) -> Network:
    return await create_network(storage, wanted, clock)


async def make_port(storage: Storage, network: Network, *ips: str, mac: str = "", project: str = "p") -> Port:
    wanted = WantedPort(uid=new_uid(), project=project, network=network.uid, mac_address=mac, ip_addresses=ips)
    return await create_port(storage, wanted, clock=clock, random_bits=secrets.randbits)


def wanted_volume(project: str = "p", size_gib: int = 1, image_format: str = "qcow2") -> Volume:
    return plan_volume(new_uid(), project, "data", size_gib, image_format, clock())


def binding(
    instance: str, *interfaces: WantedInterface, disks: tuple[WantedDisk, ...] = (), generation: int = 1
) -> Binding:
    return Binding(instance=instance, generation=generation, project="p", interfaces=interfaces, disks=disks)


def ips(port: Port) -> list[str]:
    return [str(ip.address) for ip in port.fixed_ips]
