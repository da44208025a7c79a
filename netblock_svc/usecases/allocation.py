"""Give a port what nobody else has: its MAC address and one fixed IP of each subnet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from netblock_svc.domain import refusals
from netblock_svc.domain.addressing import IPAddress
from netblock_svc.domain.kinds import KINDS
from netblock_svc.domain.mac import RANDOM_BITS, mac_address
from netblock_svc.domain.network import Network, Subnet
from netblock_svc.domain.plans import check_address
from netblock_svc.domain.port import FixedIp, Port, WantedPort, wanted_addresses
from netblock_svc.ports import UnitOfWork

RandomBits = Callable[[int], int]


async def allocate(
    uow: UnitOfWork, network: Network, wanted: WantedPort, *, at: datetime, random_bits: RandomBits
) -> Port:
    """Make a port on a network, which must be locked.

    :raise InvalidArgument: a wanted address cannot be had on this network.
    :raise AlreadyExists: ADDRESS_IN_USE, a wanted IP or MAC address is another port's.
    :raise ResourceExhausted: NO_FREE_ADDRESS.
    """
    asked = wanted_addresses(network, wanted.ip_addresses)
    port = Port(
        uid=wanted.uid,
        display_name=wanted.display_name,
        project=wanted.project,
        network=network.uid,
        mac_address=await _mac(uow, wanted.mac_address, random_bits),
        fixed_ips=(),
        create_time=at,
        made_for_instance=wanted.made_for_instance,
    )
    await uow.ports.insert(port)
    held = [await _take(uow, network, subnet, asked.get(subnet.uid), port.uid) for subnet in network.subnets]
    return replace(port, fixed_ips=tuple(held))


async def _mac(uow: UnitOfWork, wanted: str, random_bits: RandomBits) -> str:
    # A random one that another port has is met by the constraint, and the work is done again with another.
    if not wanted:
        return mac_address(random_bits(RANDOM_BITS))
    if await uow.ports.has_mac(wanted):
        raise refusals.address_in_use(wanted, "port.mac_address")
    return wanted


async def _take(uow: UnitOfWork, network: Network, subnet: Subnet, wanted: IPAddress | None, port: str) -> FixedIp:
    address = wanted or await _free(uow, network, subnet)
    if wanted:
        check_address(network, subnet, wanted)
        if await uow.addresses.is_taken(subnet.uid, wanted):
            raise refusals.address_in_use(str(wanted), "port.ip_addresses")
    slot = KINDS[network.kind].pool(subnet).slot(address)
    assert slot is not None
    await uow.addresses.take(subnet.uid, address, slot, port)
    return FixedIp(subnet=subnet.uid, address=address)


async def _free(uow: UnitOfWork, network: Network, subnet: Subnet) -> IPAddress:
    pool = KINDS[network.kind].pool(subnet)
    slot = await uow.addresses.next_free(subnet.uid, pool.slots)
    if slot is None:
        raise refusals.no_free_address(network.uid, str(subnet.cidr))
    return pool.address(slot)
