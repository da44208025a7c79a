"""Attaching and detaching on SQLite and PostgreSQL, above all: nothing slips in between."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from api_svc.adapters.schema import metadata
from api_svc.adapters.store import SqlStore
from api_svc.domain import lifecycle
from api_svc.domain.attachment import Disk
from api_svc.domain.instance import Flavor, Instance, Spec, Volume
from api_svc.domain.policy import LOCAL_ADMIN, Caller, Role
from api_svc.domain.states import TaskState, VmState
from api_svc.usecases.attachments import Attachments
from api_svc.usecases.board import Bell
from svckit.database import Database
from svckit.errors import Aborted, FailedPrecondition, NotFound, Unavailable

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MEMBER = Caller(user="ann", project="p", roles=frozenset({Role.MEMBER}))


@dataclass
class FakeDisks:
    """netblock_svc's volumes in memory. `gate` holds every change until it is set; `away` makes all calls fail."""

    disks: dict[str, Disk] = field(default_factory=dict)
    gate: asyncio.Event | None = None
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    away: bool = False

    def add(self, **where: str) -> Disk:
        disk = Disk(uid=str(uuid.uuid4()), **where)
        self.disks[disk.uid] = disk
        return disk

    async def find(self, uid: str, project: str) -> Disk:
        if uid not in self.disks:
            raise NotFound.of("volume", uid)
        return self.disks[uid]

    async def attach(self, disk: Disk, project: str, *, generation: int) -> Disk:
        await self._change()
        self.disks[disk.uid] = disk
        return disk

    async def detach(self, disk: Disk, project: str) -> None:
        await self._change()
        assert self.disks[disk.uid].instance == disk.instance
        self.disks[disk.uid] = Disk(uid=disk.uid)

    async def _change(self) -> None:
        self.asked.set()
        if self.gate:
            await self.gate.wait()
        if self.away:
            raise Unavailable("netblock_svc does not answer")


@pytest.fixture(params=["sqlite", "postgresql"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SqlStore]:
    sqlite = f"sqlite+aiosqlite:///{tmp_path}/api.sqlite3"
    database = Database(sqlite if request.param == "sqlite" else request.getfixturevalue("postgres_url"))
    async with database.transaction() as connection:
        await connection.run_sync(metadata.create_all)
    yield SqlStore(database)
    await database.close()


@pytest.fixture
def disks() -> FakeDisks:
    return FakeDisks()


@pytest.fixture
def attachments(store: SqlStore, disks: FakeDisks) -> Attachments:
    return Attachments(store, disks, Bell(), lambda: NOW)


async def test_the_instance_shows_its_volumes_in_the_order_they_came(
    store: SqlStore, disks: FakeDisks, attachments: Attachments
) -> None:
    instance = await added(store)
    one, other = disks.add(), disks.add()
    await attachments.attach(MEMBER, replace(one, instance=instance.uid, device="vdb"))
    await attachments.attach(MEMBER, replace(other, instance=instance.uid))
    shown = await found(store, instance)
    assert shown.volumes == (Volume(volume=one.name, device="vdb"), Volume(volume=other.name))
    assert shown.etag != instance.etag
    await attachments.detach(MEMBER, one.uid)
    assert (await found(store, instance)).volumes == (Volume(volume=other.name),)
    assert [event.type for event in await events(store)] == ["instance.update"] * 3


async def test_what_is_there_already_is_left_as_it_is_even_while_it_runs(
    store: SqlStore, disks: FakeDisks, attachments: Attachments
) -> None:
    disk = disks.add(device="vdb")
    instance = await added(store, vm_state=VmState.ACTIVE, volumes=(Volume(volume=disk.name, device="vdb"),))
    disks.disks[disk.uid] = replace(disk, instance=instance.uid)
    await attachments.attach(MEMBER, Disk(uid=disk.uid, instance=instance.uid))
    await attachments.detach(MEMBER, disks.add().uid)
    assert await found(store, instance) == instance


async def test_a_snapshot_that_was_missed_is_made_good_by_asking_again(
    store: SqlStore, disks: FakeDisks, attachments: Attachments
) -> None:
    instance = await added(store)
    disk = disks.add(instance=instance.uid, device="vdb")
    await attachments.attach(MEMBER, disk)
    assert (await found(store, instance)).volumes == (Volume(volume=disk.name, device="vdb"),)


async def test_a_detach_that_was_cut_short_is_made_good_by_asking_again(
    store: SqlStore, disks: FakeDisks, attachments: Attachments
) -> None:
    disk, other = disks.add(), disks.add()
    kept = Volume(volume=other.name, device="vdc")
    instance = await added(store, volumes=(Volume(volume=disk.name, device="vdb"), kept))
    await attachments.detach(MEMBER, disk.uid)
    assert (await found(store, instance)).volumes == (kept,)


@pytest.mark.parametrize("state", [state for state in VmState if state not in (VmState.STOPPED, VmState.DELETED)])
async def test_only_stopped_instances(
    store: SqlStore, disks: FakeDisks, attachments: Attachments, state: VmState
) -> None:
    instance = await added(store, vm_state=state)
    disk = disks.add(instance=instance.uid)
    for call in (
        attachments.attach(LOCAL_ADMIN, Disk(uid=disks.add().uid, instance=instance.uid)),
        attachments.detach(LOCAL_ADMIN, disk.uid),
    ):
        with pytest.raises(FailedPrecondition) as refused:
            await call
        assert refused.value.reason == "INSTANCE_INVALID_STATE"
        assert refused.value.metadata["value"] == state
    assert disks.disks[disk.uid].instance == instance.uid
    assert (await found(store, instance), await events(store)) == (instance, [])


async def test_a_start_cannot_slip_in_while_netblock_is_asked(
    store: SqlStore, disks: FakeDisks, attachments: Attachments
) -> None:
    instance = await added(store, launch_time=NOW)
    disk = disks.add(instance=instance.uid)
    disks.gate = asyncio.Event()
    detaching = asyncio.create_task(attachments.detach(MEMBER, disk.uid))
    await disks.asked.wait()
    starting = asyncio.create_task(started(store, instance))
    await asyncio.sleep(0.2)
    assert not starting.done()
    disks.gate.set()
    await detaching
    assert not await starting
    assert (await found(store, instance)).task_state is TaskState.NONE
    assert await started(store, await found(store, instance))


async def test_after_a_start_was_accepted_it_is_too_late(
    store: SqlStore, disks: FakeDisks, attachments: Attachments
) -> None:
    instance = await added(store, launch_time=NOW)
    disk = disks.add(instance=instance.uid)
    assert await started(store, instance)
    with pytest.raises(Aborted) as refused:
        await attachments.detach(MEMBER, disk.uid)
    assert refused.value.reason == "OPERATION_IN_PROGRESS"
    assert disks.disks[disk.uid].instance == instance.uid


async def test_a_volume_that_moved_on_in_the_meantime_is_not_taken_from_its_new_instance(
    store: SqlStore, disks: FakeDisks, attachments: Attachments
) -> None:
    instance, elsewhere = await added(store), await added(store, vm_state=VmState.ACTIVE)
    disk = disks.add(instance=instance.uid)
    remembered = disks.find
    answers = iter([disk])

    async def outdated(uid: str, project: str) -> Disk:
        return next(answers, None) or await remembered(uid, project)

    disks.find = outdated  # type: ignore[method-assign]
    disks.disks[disk.uid] = replace(disk, instance=elsewhere.uid)
    with pytest.raises(Aborted) as refused:
        await attachments.detach(MEMBER, disk.uid)
    assert refused.value.reason == "CONCURRENT_UPDATE"
    assert disks.disks[disk.uid].instance == elsewhere.uid
    assert await found(store, instance) == instance


async def test_when_netblock_is_away_nothing_has_changed(
    store: SqlStore, disks: FakeDisks, attachments: Attachments
) -> None:
    instance = await added(store)
    disks.away = True
    with pytest.raises(Unavailable):
        await attachments.attach(MEMBER, replace(disks.add(), instance=instance.uid))
    assert (await found(store, instance), await events(store)) == (instance, [])


async def test_an_instance_that_is_gone_holds_nothing(
    store: SqlStore, disks: FakeDisks, attachments: Attachments
) -> None:
    deleted = await added(store, vm_state=VmState.DELETED)
    for owner in (deleted.uid, str(uuid.uuid4())):
        disk = disks.add(instance=owner)
        await attachments.detach(MEMBER, disk.uid)
        assert not disks.disks[disk.uid].instance


async def test_many_at_once_lose_nothing(store: SqlStore, disks: FakeDisks, attachments: Attachments) -> None:
    instance = await added(store)
    made = [disks.add() for _ in range(6)]
    results = await asyncio.gather(
        *(attachments.attach(MEMBER, replace(disk, instance=instance.uid)) for disk in made), return_exceptions=True
    )
    assert all(result is None or isinstance(result, Aborted) for result in results)
    attached = {disk.name for disk in disks.disks.values() if disk.instance}
    assert {volume.volume for volume in (await found(store, instance)).volumes} == attached
    assert attached


async def added(store: SqlStore, **fields: object) -> Instance:
    """A STOPPED instance at rest, of the member's project."""
    instance = Instance(
        uid=str(uuid.uuid4()),
        display_name="vm",
        project="p",
        user="ann",
        spec=Spec(flavor=Flavor(vcpus=1, memory_mib=64), image=str(uuid.uuid4())),
        create_time=NOW,
        update_time=NOW,
        vm_state=VmState.STOPPED,
    )
    instance = replace(instance, **fields)  # type: ignore[arg-type]
    async with store.transaction() as session:
        await session.instances.add(instance)
    return instance


async def started(store: SqlStore, instance: Instance) -> bool:
    """Claim it for a start, as accepting one does; whether the swap was won."""
    begun = lifecycle.begin(instance, TaskState.POWERING_ON, str(uuid.uuid4()), NOW)
    async with store.transaction() as session:
        return await session.instances.save(begun, expected_version=instance.version)


async def found(store: SqlStore, instance: Instance) -> Instance:
    async with store.reading() as session:
        placed = await session.instances.find(instance.uid)
    assert placed is not None
    return placed.instance


async def events(store: SqlStore) -> list[object]:
    async with store.reading() as session:
        return list(await session.events.after(0, 100, None, ""))
