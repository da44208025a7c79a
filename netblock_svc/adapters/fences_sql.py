"""Fences: which command of an instance was the newest."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from netblock_svc.adapters.tables import fences


class SqlFences:
    """See `ports.Fences`."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def newest(self, instance: str) -> int:
        query = select(fences.c.generation).where(fences.c.instance == instance)
        return await self._connection.scalar(query) or 0

    async def move(self, instance: str, generation: int, at: datetime) -> None:
        row = {"generation": generation, "update_time": at}
        moved = await self._connection.execute(update(fences).where(fences.c.instance == instance).values(row))
        if not moved.rowcount:
            await self._connection.execute(insert(fences).values(instance=instance, **row))

    async def forget(self, before: datetime) -> None:
        await self._connection.execute(delete(fences).where(fences.c.update_time < before))
