"""Rows of ports."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import ip_address
from itertools import groupby
from typing import Any

from sqlalchemy import Row, Select, delete, exists, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from netblock_svc.adapters.networks_sql import SUBNET_COLUMNS, network_of
from netblock_svc.adapters.paging_sql import paged
from netblock_svc.adapters.tables import fixed_ips, networks, ports, subnets
from netblock_svc.domain.network import Network
from netblock_svc.domain.port import FixedIp, Port
from netblock_svc.ports import Page

_COLUMNS = [column.name for column in ports.c]
_FILTERS = {"network": ports.c.network, "instance": ports.c.instance, "display_name": ports.c.display_name}


class SqlPorts:
    """The `Ports` of one connection."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def find(self, uid: str) -> Port | None:
        found = await self._all(select(ports).where(ports.c.uid == uid))
        return found[0] if found else None

    async def page(self, page: Page) -> list[Port]:
        query = select(ports)
        if page.project:
            query = query.where(ports.c.project == page.project)
        return await self._all(paged(query, ports, page, _FILTERS))

    async def of_instance(self, instance: str) -> list[Port]:
        found = await self._all(select(ports).where(ports.c.instance == instance))
        return sorted(found, key=lambda port: port.position or 0)

    async def vifs_of(self, instance: str) -> list[tuple[Network, Port]]:
        query = (
            select(
                networks,
                *SUBNET_COLUMNS,
                *(column.label(f"port_{column.name}") for column in ports.c),
                fixed_ips.c.address,
            )
            .select_from(ports)
            .join(networks, networks.c.uid == ports.c.network)
            .join(subnets, subnets.c.network == networks.c.uid)
            .outerjoin(fixed_ips, (fixed_ips.c.port == ports.c.uid) & (fixed_ips.c.subnet == subnets.c.uid))
            .where(ports.c.instance == instance)
            .order_by(ports.c.position, subnets.c.position)
        )
        rows = (await self._connection.execute(query)).all()
        groups = (list(group) for _, group in groupby(rows, key=lambda row: row.port_uid))
        return [(network_of(group), _port_of(group, "port_")) for group in groups]

    async def any_on(self, network: str) -> bool:
        return bool(await self._connection.scalar(select(exists().where(ports.c.network == network))))

    async def has_mac(self, mac_address: str) -> bool:
        return bool(await self._connection.scalar(select(exists().where(ports.c.mac_address == mac_address))))

    async def lock(self, uids: Sequence[str]) -> None:
        query = select(ports.c.uid).where(ports.c.uid.in_(uids)).order_by(ports.c.uid)
        await self._connection.execute(query.with_for_update())

    async def insert(self, port: Port) -> None:
        row = {name: getattr(port, name) for name in _COLUMNS}
        await self._connection.execute(insert(ports).values(row))

    async def bind(self, uid: str, instance: str, position: int) -> None:
        await self._connection.execute(
            update(ports).where(ports.c.uid == uid).values(instance=instance, position=position)
        )

    async def release(self, instance: str) -> None:
        its = ports.c.instance == instance
        await self._connection.execute(delete(ports).where(its, ports.c.made_for_instance))
        await self._connection.execute(update(ports).where(its).values(instance=None, position=None))

    async def delete(self, uid: str) -> None:
        await self._connection.execute(delete(ports).where(ports.c.uid == uid))

    async def _all(self, query: Select[Any]) -> list[Port]:
        found = query.subquery()
        joined = (
            select(found, fixed_ips.c.address, fixed_ips.c.subnet.label("subnet_uid"))
            .outerjoin(fixed_ips, fixed_ips.c.port == found.c.uid)
            .outerjoin(subnets, subnets.c.uid == fixed_ips.c.subnet)
            .order_by(found.c.create_time, found.c.uid, subnets.c.position)
        )
        rows = (await self._connection.execute(joined)).all()
        return [_port_of(group) for _, group in groupby(rows, key=lambda row: row.uid)]


def _port_of(rows: Iterable[Row[Any]], prefix: str = "") -> Port:
    """The port of rows that are alike but for the address."""
    found = list(rows)
    columns = {name: getattr(found[0], prefix + name) for name in _COLUMNS}
    held = tuple(FixedIp(subnet=row.subnet_uid, address=ip_address(row.address)) for row in found if row.address)
    return Port(**columns, fixed_ips=held)
