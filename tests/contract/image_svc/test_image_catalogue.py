"""One catalogue, in memory, on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from image_svc.adapters.catalogue_sql import SqlCatalogue, metadata
from image_svc.bootstrap import MIGRATIONS
from image_svc.domain.images import DiskFormat, Image
from image_svc.ports import Catalogue
from svckit.clock import utcnow
from svckit.database import Database
from svckit.errors import AlreadyExists
from svckit.listing import Comparison
from svckit.migrate import migrate
from tests.fakes.image_svc import MemoryCatalogue

EPOCH = datetime(2026, 11, 23, 12, 0, 0, 123456, tzinfo=UTC)


def url_of(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of this kind."""
    sqlite = f"sqlite+aiosqlite:///{tmp_path}/image.sqlite3"
    return sqlite if kind == "sqlite" else str(request.getfixturevalue("postgres_url"))


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
async def catalogue(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Catalogue]:
    if request.param == "memory":
        yield MemoryCatalogue()
        return
    database = Database(url_of(request.param, request, tmp_path))
    async with database.transaction() as tx:
        await tx.run_sync(metadata.create_all)
    yield SqlCatalogue(database, utcnow)
    await database.close()


def image(seconds: int = 0, **fields: object) -> Image:
    given = Image(
        uid=str(uuid.uuid4()),
        display_name="debian",
        disk_format=DiskFormat.QCOW2,
        size_bytes=5 * 1024**4,
        virtual_size_bytes=6 * 1024**4,
        sha256="ab" * 32,
        source="https://example.org/ä.qcow2?x=1",
        create_time=EPOCH + timedelta(seconds=seconds),
        min_disk_gib=1,
        min_memory_mib=128,
        properties={"hw_disk_bus": "virtio", "ö": '"'},
    )
    return replace(given, **fields)


async def test_what_was_added_is_found_as_it_was(catalogue: Catalogue) -> None:
    added = image()
    await catalogue.add(added)
    assert await catalogue.find(added.uid) == added
    assert await catalogue.find(str(uuid.uuid4())) is None


async def test_times_keep_their_instant_and_their_zone(catalogue: Catalogue) -> None:
    east = image(create_time=EPOCH.astimezone(timezone(timedelta(hours=9))))
    await catalogue.add(east)
    found = await catalogue.find(east.uid)
    assert found is not None
    assert found.create_time == EPOCH
    assert found.create_time.tzinfo is not None


async def test_a_uuid_is_given_once(catalogue: Catalogue) -> None:
    added = image()
    await catalogue.add(added)
    with pytest.raises(AlreadyExists) as refusal:
        await catalogue.add(replace(added, display_name="other"))
    assert refusal.value.reason == "IMAGE_ALREADY_EXISTS"
    assert await catalogue.find(added.uid) == added


async def test_of_many_at_once_one_gets_the_uuid(catalogue: Catalogue) -> None:
    uid = str(uuid.uuid4())
    rivals = [image(uid=uid, display_name=f"i{number}") for number in range(8)]
    outcomes = await asyncio.gather(*map(catalogue.add, rivals), return_exceptions=True)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["AlreadyExists"] * 7 + ["NoneType"]


async def test_a_removed_uuid_stays_bound_to_its_content(catalogue: Catalogue) -> None:
    added = image()
    await catalogue.add(added)
    assert await catalogue.remove(added.uid)
    assert not await catalogue.remove(added.uid)
    assert await catalogue.find(added.uid) is None
    with pytest.raises(AlreadyExists):
        await catalogue.add(replace(added, sha256="cd" * 32))
    back = replace(added, display_name="back", create_time=EPOCH + timedelta(days=1))
    await catalogue.add(back)
    assert await catalogue.find(added.uid) == back


async def test_pages_are_oldest_first_without_gap_or_repeat(catalogue: Catalogue) -> None:
    images = [image(number // 3) for number in range(10)]  # several share their time
    for each in images:
        await catalogue.add(each)
    removed = images.pop(4)
    await catalogue.remove(removed.uid)
    ordered = sorted(images, key=lambda each: (each.create_time, each.uid))
    seen: list[Image] = []
    while page := await catalogue.list(limit=4, after=(seen[-1].create_time, seen[-1].uid) if seen else None, where=[]):
        seen.extend(page)
    assert seen == ordered


async def test_filters(catalogue: Catalogue) -> None:
    iso, debian = image(0, disk_format=DiskFormat.ISO, display_name="x"), image(1)
    await catalogue.add(iso)
    await catalogue.add(debian)
    cases = {
        (Comparison("disk_format", "iso"),): [iso],
        (Comparison("disk_format", "iso", negated=True),): [debian],
        (Comparison("display_name", "debian"), Comparison("disk_format", "qcow2")): [debian],
        (Comparison("display_name", "' OR 1=1 --"),): [],
    }
    for where, expected in cases.items():
        assert await catalogue.list(limit=10, after=None, where=where) == expected


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_the_migrations_make_the_schema_that_the_code_expects(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    def differences(connection: sa.Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection), metadata))

    url = url_of(kind, request, tmp_path)
    await migrate(url, MIGRATIONS)
    database = Database(url)
    async with database.reading() as connection:
        assert await connection.run_sync(differences) == []
    await database.close()
