"""Rows of networks and subnets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import ip_address, ip_network
from itertools import groupby
from typing import Any

from sqlalchemy import Row, Select, delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from netblock_svc.adapters.paging_sql import paged
from netblock_svc.adapters.tables import networks, subnets
from netblock_svc.domain.network import Network, NetworkKind, Subnet
from netblock_svc.ports import Page

SUBNET_COLUMNS = (
    subnets.c.uid.label("subnet_uid"),
    subnets.c.cidr,
    subnets.c.gateway,
    subnets.c.dns,
    subnets.c.first_address,
    subnets.c.last_address,
)


class SqlNetworks:
    """The `Networks` of one connection."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def find(self, uid: str) -> Network | None:
        return await self._one(select(networks).where(networks.c.uid == uid))

    async def named(self, project: str, display_name: str) -> Network | None:
        wanted = (networks.c.project == project) & (networks.c.display_name == display_name)
        return await self._one(select(networks).where(wanted))

    async def page(self, page: Page) -> list[Network]:
        query = select(networks)
        if page.project:
            query = query.where(networks.c.project.in_((page.project, "")))
        return await self._all(paged(query, networks, page, {"display_name": networks.c.display_name}))

    async def lock(self, uids: Sequence[str]) -> None:
        query = select(networks.c.uid).where(networks.c.uid.in_(uids)).order_by(networks.c.uid)
        await self._connection.execute(query.with_for_update())

    async def insert(self, network: Network) -> None:
        await self._connection.execute(insert(networks).values(_network_row(network)))
        rows = [_subnet_row(network.uid, i, subnet) for i, subnet in enumerate(network.subnets)]
        await self._connection.execute(insert(subnets), rows)

    async def delete(self, uid: str) -> None:
        await self._connection.execute(delete(networks).where(networks.c.uid == uid))

    async def _one(self, query: Select[Any]) -> Network | None:
        found = await self._all(query)
        return found[0] if found else None

    async def _all(self, query: Select[Any]) -> list[Network]:
        found = query.subquery()
        joined = (
            select(found, *SUBNET_COLUMNS)
            .join(subnets, subnets.c.network == found.c.uid)
            .order_by(found.c.create_time, found.c.uid, subnets.c.position)
        )
        rows = (await self._connection.execute(joined)).all()
        return [network_of(group) for _, group in groupby(rows, key=lambda row: row.uid)]


def network_of(rows: Iterable[Row[Any]]) -> Network:
    """The network of rows that are alike but for the subnet."""
    found = list(rows)
    first = found[0]
    return Network(
        uid=first.uid,
        display_name=first.display_name,
        project=first.project,
        kind=NetworkKind(first.kind),
        bridge=first.bridge,
        libvirt_network=first.libvirt_network,
        mtu=first.mtu,
        subnets=tuple(subnet_of(row) for row in found),
        create_time=first.create_time,
    )


def subnet_of(row: Row[Any]) -> Subnet:
    """The subnet of a row that has `SUBNET_COLUMNS`."""
    return Subnet(
        uid=row.subnet_uid,
        cidr=ip_network(row.cidr),
        gateway=ip_address(row.gateway) if row.gateway else None,
        dns=tuple(ip_address(text) for text in row.dns.split()),
        first=ip_address(row.first_address),
        last=ip_address(row.last_address),
    )


def _network_row(network: Network) -> dict[str, Any]:
    return {
        "uid": network.uid,
        "project": network.project,
        "display_name": network.display_name,
        "kind": network.kind.value,
        "bridge": network.bridge,
        "libvirt_network": network.libvirt_network,
        "mtu": network.mtu,
        "create_time": network.create_time,
    }


def _subnet_row(network: str, position: int, subnet: Subnet) -> dict[str, Any]:
    return {
        "uid": subnet.uid,
        "network": network,
        "position": position,
        "cidr": str(subnet.cidr),
        "gateway": str(subnet.gateway or ""),
        "dns": " ".join(map(str, subnet.dns)),
        "first_address": str(subnet.first),
        "last_address": str(subnet.last),
        "next_slot": 0,
    }
