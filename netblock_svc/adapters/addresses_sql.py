"""Rows of fixed IPs.

That no address is held twice is the primary key's doing; the search here only makes collisions rare. It begins where
the last one ended (an address that was just freed rests for a while) and skips a run of taken slots in one index scan.
"""

from __future__ import annotations

from sqlalchemy import exists, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from netblock_svc.adapters.tables import fixed_ips, subnets
from netblock_svc.domain.addressing import MAX_SLOTS, IPAddress


class SqlAddresses:
    """The `Addresses` of one connection."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def is_taken(self, subnet: str, address: IPAddress) -> bool:
        held = (fixed_ips.c.subnet == subnet) & (fixed_ips.c.address == str(address))
        return bool(await self._connection.scalar(select(exists().where(held))))

    async def next_free(self, subnet: str, slots: int) -> int | None:
        start = await self._connection.scalar(select(subnets.c.next_slot).where(subnets.c.uid == subnet)) or 0
        for begin, end in ((start, slots), (0, min(start, slots))):
            slot = await self._first_free(subnet, begin)
            if slot < end:
                await self._connection.execute(
                    update(subnets).where(subnets.c.uid == subnet).values(next_slot=slot + 1)
                )
                return slot
        return None

    async def take(self, subnet: str, address: IPAddress, slot: int, port: str) -> None:
        row = {"subnet": subnet, "address": str(address), "slot": slot if slot < MAX_SLOTS else None, "port": port}
        await self._connection.execute(insert(fixed_ips).values(row))

    async def _first_free(self, subnet: str, begin: int) -> int:
        """The lowest slot from `begin` on that nobody holds."""
        taken = (fixed_ips.c.subnet == subnet) & (fixed_ips.c.slot == begin)
        if not await self._connection.scalar(select(exists().where(taken))):
            return begin
        follower = fixed_ips.alias()
        gap = (
            select(fixed_ips.c.slot + 1)
            .where(fixed_ips.c.subnet == subnet, fixed_ips.c.slot >= begin)
            .where(~exists().where(follower.c.subnet == subnet, follower.c.slot == fixed_ips.c.slot + 1))
            .order_by(fixed_ips.c.slot)
            .limit(1)
        )
        return int(await self._connection.scalar(gap) or begin)
