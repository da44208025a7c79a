from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from netblock_svc.domain.binding import WantedDisk
from netblock_svc.domain.volume import Volume, VolumeState
from netblock_svc.ports import Storage
from netblock_svc.usecases import volumes
from netblock_svc.usecases.attachments import attach_volume, detach_volume
from netblock_svc.usecases.bindings import release_instance
from netblock_svc.usecases.pages import Query
from netblock_svc.usecases.volumes import VolumeKeeper
from svckit.errors import (
    Aborted,
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    Unavailable,
)
from tests.fakes.netblock import FakeVolumeBackend
from tests.fakes.netblock_values import clock, new_uid, wanted_volume


@pytest.fixture
def backend() -> FakeVolumeBackend:
    return FakeVolumeBackend()


@pytest.fixture
def keeper(storage: Storage, backend: FakeVolumeBackend) -> VolumeKeeper:
    return VolumeKeeper(storage, backend)


class Interrupted(FakeVolumeBackend):
    """Stops in the middle, as if the process had been killed: nothing is tidied up."""

    async def create(self, volume: Volume) -> None:
        await super().create(volume)
        raise asyncio.CancelledError

    async def delete(self, volume: Volume) -> None:
        await super().delete(volume)
        raise asyncio.CancelledError


async def test_a_volume_is_read_back_as_it_was_made(
    storage: Storage, keeper: VolumeKeeper, backend: FakeVolumeBackend
) -> None:
    made = await keeper.create(wanted_volume(size_gib=3, image_format="raw"))
    assert await volumes.get_volume(storage, made.uid, "p") == made
    assert (made.size_gib, made.format, made.state) == (3, "raw", VolumeState.AVAILABLE)
    assert set(backend.disks) == {made.uid}


async def test_the_same_request_again_answers_what_was_made(keeper: VolumeKeeper) -> None:
    wanted = wanted_volume()
    made = await keeper.create(wanted)
    assert await keeper.create(replace(wanted, create_time=clock())) == made
    for other in (replace(wanted, size_gib=2), replace(wanted, project="q"), replace(wanted, format="raw")):
        with pytest.raises(AlreadyExists) as refused:
            await keeper.create(other)
        assert refused.value.reason == "VOLUME_ALREADY_EXISTS"


async def test_the_same_request_many_times_at_once(storage: Storage, keeper: VolumeKeeper) -> None:
    wanted = wanted_volume()
    made = await asyncio.gather(*(keeper.create(wanted) for _ in range(8)))
    assert set(made) == {made[0]}
    assert await listed(storage, Query()) == [wanted.uid]


async def test_no_space(storage: Storage) -> None:
    backend = FakeVolumeBackend(room_gib=5)
    keeper = VolumeKeeper(storage, backend)
    with pytest.raises(ResourceExhausted):
        await keeper.create(wanted_volume(size_gib=6))
    assert (await listed(storage, Query()), backend.disks) == ([], {})
    async with storage.reading() as uow:
        assert await uow.volumes.unfinished() == []


async def test_a_crash_in_the_middle_of_making_is_tidied_up_at_the_next_start(storage: Storage) -> None:
    backend, wanted = Interrupted(), wanted_volume()
    with pytest.raises(asyncio.CancelledError):
        await VolumeKeeper(storage, backend).create(wanted)
    assert set(backend.disks) == {wanted.uid}
    await not_there(storage, wanted)
    restarted = FakeVolumeBackend(disks=backend.disks)
    await VolumeKeeper(storage, restarted).recover()
    assert restarted.disks == {}
    assert (await VolumeKeeper(storage, restarted).create(wanted)).uid == wanted.uid


async def test_an_attempt_that_was_broken_off_is_repeated_by_asking_again(storage: Storage) -> None:
    wanted = wanted_volume()
    with pytest.raises(asyncio.CancelledError):
        await VolumeKeeper(storage, Interrupted()).create(wanted)
    made = await VolumeKeeper(storage, FakeVolumeBackend()).create(replace(wanted, size_gib=2))
    assert (await volumes.get_volume(storage, wanted.uid, "p")) == made
    assert made.size_gib == 2


async def test_a_crash_in_the_middle_of_removing_is_finished_at_the_next_start(storage: Storage) -> None:
    backend, wanted = Interrupted(), wanted_volume()
    await VolumeKeeper(storage, FakeVolumeBackend()).create(wanted)
    with pytest.raises(asyncio.CancelledError):
        await VolumeKeeper(storage, backend).delete(wanted.uid, "p")
    await not_there(storage, wanted)
    with pytest.raises(AlreadyExists):
        await VolumeKeeper(storage, FakeVolumeBackend()).create(wanted)
    await VolumeKeeper(storage, FakeVolumeBackend()).recover()
    await VolumeKeeper(storage, FakeVolumeBackend()).create(wanted)


async def test_a_removal_that_was_broken_off_is_finished_by_asking_again(storage: Storage) -> None:
    wanted = wanted_volume()
    await VolumeKeeper(storage, FakeVolumeBackend()).create(wanted)
    with pytest.raises(asyncio.CancelledError):
        await VolumeKeeper(storage, Interrupted()).delete(wanted.uid, "p")
    with pytest.raises(NotFound):
        await VolumeKeeper(storage, FakeVolumeBackend()).delete(wanted.uid, "q")
    await VolumeKeeper(storage, FakeVolumeBackend()).delete(wanted.uid, "p")
    async with storage.reading() as uow:
        assert await uow.volumes.find(wanted.uid) is None


async def test_recovery_leaves_finished_volumes_alone(
    storage: Storage, keeper: VolumeKeeper, backend: FakeVolumeBackend
) -> None:
    made = await keeper.create(wanted_volume())
    await keeper.recover()
    assert await listed(storage, Query()) == [made.uid] == list(backend.disks)


async def test_when_tidying_up_fails_the_row_still_names_what_is_left(storage: Storage) -> None:
    class Broken(FakeVolumeBackend):
        async def create(self, volume: Volume) -> None:
            await super().create(volume)
            raise Unavailable("the store is away")

        async def delete(self, volume: Volume) -> None:
            raise Unavailable("the store is away")

    wanted = wanted_volume()
    with pytest.raises(Unavailable):
        await VolumeKeeper(storage, Broken()).create(wanted)
    async with storage.reading() as uow:
        assert [volume.uid for volume in await uow.volumes.unfinished()] == [wanted.uid]


async def test_deleting(storage: Storage, keeper: VolumeKeeper, backend: FakeVolumeBackend) -> None:
    volume = await keeper.create(wanted_volume())
    with pytest.raises(NotFound) as refused:
        await keeper.delete(volume.uid, "q")
    assert refused.value.reason == "VOLUME_NOT_FOUND"
    await keeper.delete(volume.uid, "p")
    assert backend.disks == {}
    with pytest.raises(NotFound):
        await keeper.delete(volume.uid, "p")


async def test_an_attached_volume_stays(storage: Storage, keeper: VolumeKeeper, backend: FakeVolumeBackend) -> None:
    volume, instance = await keeper.create(wanted_volume()), new_uid()
    await attach(storage, volume.uid, instance, "vdb")
    with pytest.raises(FailedPrecondition) as refused:
        await keeper.delete(volume.uid, "p")
    assert refused.value.reason == "VOLUME_IN_USE"
    assert refused.value.metadata["instance"] == instance
    assert set(backend.disks) == {volume.uid}


async def test_attaching_and_detaching(storage: Storage, keeper: VolumeKeeper) -> None:
    volume, instance = await keeper.create(wanted_volume()), new_uid()
    attached = await attach(storage, volume.uid, instance, "vdb")
    assert attached.attachment and attached.attachment.device == "vdb"
    assert await attach(storage, volume.uid, instance, "vdb") == attached
    assert await attach(storage, volume.uid, instance) == attached
    assert await volumes.get_volume(storage, volume.uid, "p") == attached
    for other_instance, device in ((new_uid(), ""), (instance, "vdc")):
        with pytest.raises(FailedPrecondition) as refused:
            await attach(storage, volume.uid, other_instance, device)
        assert refused.value.reason == "VOLUME_IN_USE"
    assert await detach_volume(storage, volume.uid, new_uid(), "p") == attached, "it is not there"
    for _ in range(2):
        assert (await detach_volume(storage, volume.uid, instance, "p")).attachment is None
    assert (await volumes.get_volume(storage, volume.uid, "p")).attachment is None


async def test_an_attach_that_a_delete_overtakes_attaches_nothing(storage: Storage, keeper: VolumeKeeper) -> None:
    volume, instance = await keeper.create(wanted_volume()), new_uid()
    await release_instance(storage, instance, 4, clock=clock)
    with pytest.raises(Aborted) as refused:
        await attach(storage, volume.uid, instance, generation=3)
    assert refused.value.reason == "STALE_GENERATION"
    assert (await volumes.get_volume(storage, volume.uid, "p")).attachment is None


async def test_a_device_is_given_once_an_instance(storage: Storage, keeper: VolumeKeeper) -> None:
    one, other, instance = await keeper.create(wanted_volume()), await keeper.create(wanted_volume()), new_uid()
    await attach(storage, one.uid, instance, "vdb")
    with pytest.raises(FailedPrecondition) as refused:
        await attach(storage, other.uid, instance, "vdb")
    assert refused.value.reason == "DEVICE_IN_USE"
    await attach(storage, other.uid, new_uid(), "vdb")


async def test_many_who_attach_at_once_stay_in_order(storage: Storage, keeper: VolumeKeeper) -> None:
    made = [await keeper.create(wanted_volume()) for _ in range(6)]
    instance = new_uid()
    attached = await asyncio.gather(*(attach(storage, volume.uid, instance) for volume in made))
    positions = {volume.uid: volume.attachment.position for volume in attached if volume.attachment}
    async with storage.reading() as uow:
        assert [volume.uid for volume in await uow.volumes.attached_to(instance)] == sorted(
            positions, key=positions.get
        )  # type: ignore[arg-type]
    assert sorted(positions.values()) == list(range(6))


async def test_of_many_instances_that_want_a_volume_one_gets_it(storage: Storage, keeper: VolumeKeeper) -> None:
    volume = await keeper.create(wanted_volume())
    results = await asyncio.gather(*(attach(storage, volume.uid, new_uid()) for _ in range(6)), return_exceptions=True)
    assert sum(isinstance(result, Volume) for result in results) == 1
    assert sum(isinstance(result, FailedPrecondition) for result in results) == 5


async def test_volumes_of_others_are_not_there(storage: Storage, keeper: VolumeKeeper) -> None:
    volume = await keeper.create(wanted_volume(project="q"))
    with pytest.raises(NotFound):
        await volumes.get_volume(storage, volume.uid, "p")
    with pytest.raises(NotFound):
        await attach(storage, volume.uid, new_uid())
    with pytest.raises(NotFound):
        await detach_volume(storage, volume.uid, new_uid(), "p")
    assert await listed(storage, Query(project="p")) == []
    assert await listed(storage, Query(project="q")) == [volume.uid]


async def test_lists_of_volumes(storage: Storage, keeper: VolumeKeeper) -> None:
    made = [(await keeper.create(wanted_volume())).uid for _ in range(3)]
    instance = new_uid()
    await attach(storage, made[1], instance)
    assert await listed(storage, Query(project="p")) == made
    assert await listed(storage, Query(filter=f'instance = "instances/{instance}"')) == [made[1]]
    assert await listed(storage, Query(filter='instance = ""')) == made[::2]
    assert await listed(storage, Query(filter=f'instance != "instances/{instance}"')) == made[::2]
    assert await listed(storage, Query(filter='display_name = "data" AND instance != ""')) == [made[1]]
    first, token = await volumes.list_volumes(storage, Query(page_size=2))
    assert len(first) == 2
    assert await listed(storage, Query(page_size=2, page_token=token)) == made[2:]
    with pytest.raises(InvalidArgument):
        await listed(storage, Query(filter='size_gib = "1"'))


async def not_there(storage: Storage, volume: Volume) -> None:
    with pytest.raises(NotFound):
        await volumes.get_volume(storage, volume.uid, "p")
    with pytest.raises(NotFound):
        await attach(storage, volume.uid, new_uid())
    assert await listed(storage, Query()) == []


async def attach(storage: Storage, volume: str, instance: str, device: str = "", generation: int = 1) -> Volume:
    return await attach_volume(storage, WantedDisk(volume=volume, device=device), instance, generation, "p", clock)


async def listed(storage: Storage, query: Query) -> list[str]:
    found, _ = await volumes.list_volumes(storage, query)
    return [volume.uid for volume in found]
