"""Rows of volumes and attachments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, Select, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from netblock_svc.adapters.paging_sql import paged
from netblock_svc.adapters.tables import attachments, volumes
from netblock_svc.domain.volume import Attachment, Volume, VolumeState
from netblock_svc.ports import Page

_FILTERS = {"display_name": volumes.c.display_name, "instance": attachments.c.instance}
_VOLUME_COLUMNS = ("uid", "display_name", "project", "size_gib", "format", "create_time")
_ATTACHMENT_COLUMNS = [column.name for column in attachments.c]


class SqlVolumes:
    """The `Volumes` of one connection."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def find(self, uid: str) -> Volume | None:
        found = await self._all(_query().where(volumes.c.uid == uid))
        return found[0] if found else None

    async def page(self, page: Page) -> list[Volume]:
        query = _query().where(volumes.c.state == VolumeState.AVAILABLE.value)
        if page.project:
            query = query.where(volumes.c.project == page.project)
        return await self._all(paged(query, volumes, page, _FILTERS))

    async def attached_to(self, instance: str) -> list[Volume]:
        return await self._all(_query().where(attachments.c.instance == instance).order_by(attachments.c.position))

    async def unfinished(self) -> list[Volume]:
        return await self._all(_query().where(volumes.c.state != VolumeState.AVAILABLE.value))

    async def lock(self, uids: Sequence[str]) -> None:
        query = select(volumes.c.uid).where(volumes.c.uid.in_(uids)).order_by(volumes.c.uid)
        await self._connection.execute(query.with_for_update())

    async def insert(self, volume: Volume) -> None:
        row = {name: getattr(volume, name) for name in _VOLUME_COLUMNS}
        await self._connection.execute(insert(volumes).values(**row, state=volume.state.value))

    async def move(self, uid: str, old: VolumeState, new: VolumeState) -> bool:
        there = (volumes.c.uid == uid) & (volumes.c.state == old.value)
        result = await self._connection.execute(update(volumes).where(there).values(state=new.value))
        return result.rowcount == 1

    async def delete(self, uid: str) -> None:
        await self._connection.execute(delete(volumes).where(volumes.c.uid == uid))

    async def attach(self, attachment: Attachment) -> None:
        row = {name: getattr(attachment, name) for name in _ATTACHMENT_COLUMNS}
        await self._connection.execute(insert(attachments).values({**row, "device": attachment.device or None}))

    async def detach(self, volume: str) -> None:
        await self._connection.execute(delete(attachments).where(attachments.c.volume == volume))

    async def detach_all(self, instance: str) -> None:
        await self._connection.execute(delete(attachments).where(attachments.c.instance == instance))

    async def _all(self, query: Select[Any]) -> list[Volume]:
        return [_volume_of(row) for row in (await self._connection.execute(query)).all()]


def _query() -> Select[Any]:
    return select(
        volumes,
        attachments.c.uid.label("attachment"),
        attachments.c.instance,
        attachments.c.device,
        attachments.c.position,
        attachments.c.attach_time,
    ).outerjoin(attachments, attachments.c.volume == volumes.c.uid)


def _volume_of(row: Row[Any]) -> Volume:
    columns = {name: getattr(row, name) for name in _VOLUME_COLUMNS}
    return Volume(**columns, state=VolumeState(row.state), attachment=_attachment_of(row))


def _attachment_of(row: Row[Any]) -> Attachment | None:
    if row.attachment is None:
        return None
    return Attachment(
        uid=row.attachment,
        volume=row.uid,
        instance=row.instance,
        device=row.device or "",
        position=row.position,
        attach_time=row.attach_time,
    )
