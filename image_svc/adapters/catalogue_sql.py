"""The catalogue in a database. A removed image leaves its UUID bound to its content: overlays may still live on it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import IntegrityError

from image_svc.domain.images import DiskFormat, Image
from svckit.clock import Clock
from svckit.database import Database
from svckit.errors import AlreadyExists
from svckit.listing import Comparison


class UtcTime(sa.TypeDecorator[datetime]):
    """A time that keeps its zone; SQLite would drop it."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value.astimezone(UTC) if value else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


metadata = sa.MetaData()
images = sa.Table(
    "images",
    metadata,
    sa.Column("uid", sa.String(36), primary_key=True),
    sa.Column("display_name", sa.String(255), nullable=False),
    sa.Column("disk_format", sa.String(16), nullable=False),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("virtual_size_bytes", sa.BigInteger, nullable=False),
    sa.Column("sha256", sa.String(64), nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("create_time", UtcTime, nullable=False),
    sa.Column("min_disk_gib", sa.Integer, nullable=False),
    sa.Column("min_memory_mib", sa.Integer, nullable=False),
    sa.Column("properties", sa.JSON, nullable=False),
    sa.Column("delete_time", UtcTime, nullable=True),
    sa.Index("ix_images_create_time_uid", "create_time", "uid"),
)
_ALIVE = images.c.delete_time.is_(None)


class SqlCatalogue:
    """`ports.Catalogue`, on SQLite and PostgreSQL."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def add(self, image: Image) -> None:
        """See ports.Catalogue."""
        row = _to_row(image)
        try:
            async with self._database.transaction() as tx:
                revived = (
                    sa.update(images)
                    .where(images.c.uid == image.uid, ~_ALIVE, images.c.sha256 == image.sha256)
                    .values(row | {"delete_time": None})
                )
                if not (await tx.execute(revived)).rowcount:
                    await tx.execute(sa.insert(images).values(row))
        except IntegrityError as error:
            raise await self._taken(image.uid) from error

    async def find(self, uid: str) -> Image | None:
        """See ports.Catalogue."""
        async with self._database.reading() as tx:
            row = (await tx.execute(sa.select(images).where(images.c.uid == uid, _ALIVE))).mappings().first()
        return _to_image(row) if row else None

    async def list(self, *, limit: int, after: tuple[datetime, str] | None, where: Sequence[Comparison]) -> list[Image]:
        """See ports.Catalogue."""
        query = sa.select(images).where(_ALIVE, *(_condition(comparison) for comparison in where))
        if after:
            key = sa.tuple_(images.c.create_time, images.c.uid)
            query = query.where(key > sa.tuple_(sa.literal(after[0], UtcTime()), sa.literal(after[1])))
        query = query.order_by(images.c.create_time, images.c.uid).limit(limit)
        async with self._database.reading() as tx:
            return [_to_image(row) for row in (await tx.execute(query)).mappings()]

    async def remove(self, uid: str) -> bool:
        """See ports.Catalogue."""
        buried = sa.update(images).where(images.c.uid == uid, _ALIVE).values(delete_time=self._clock())
        async with self._database.transaction() as tx:
            return (await tx.execute(buried)).rowcount == 1

    async def _taken(self, uid: str) -> AlreadyExists:
        error = AlreadyExists.of("image", uid)
        if await self.find(uid) is None:
            error.message = f"image {uid!r} was removed, and its UUID stays bound to its content; choose another UUID"
        return error


def _condition(comparison: Comparison) -> sa.ColumnElement[bool]:
    column = images.c[comparison.field]
    return column != comparison.value if comparison.negated else column == comparison.value


def _to_row(image: Image) -> dict[str, Any]:
    return {
        "uid": image.uid,
        "display_name": image.display_name,
        "disk_format": image.disk_format.value,
        "size_bytes": image.size_bytes,
        "virtual_size_bytes": image.virtual_size_bytes,
        "sha256": image.sha256,
        "source": image.source,
        "create_time": image.create_time,
        "min_disk_gib": image.min_disk_gib,
        "min_memory_mib": image.min_memory_mib,
        "properties": dict(image.properties),
    }


def _to_image(row: sa.RowMapping) -> Image:
    values = {name: row[name] for name in row if name != "delete_time"}
    return Image(**values | {"disk_format": DiskFormat(row["disk_format"])})
