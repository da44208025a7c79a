"""Make, read, list and remove volumes.

A volume's row is older and outlives its data: CREATING is committed before the first byte is written, DELETING before
the last one goes. So whatever a crash leaves behind is named by a row, and `recover` removes exactly that. Data that no
row names is never touched: it tells of a wrong database rather than of a forgotten volume.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from weakref import WeakValueDictionary

import structlog

from netblock_svc.domain import refusals
from netblock_svc.domain.volume import Volume, VolumeState, is_same
from netblock_svc.ports import Storage, UnitOfWork, VolumeBackend
from netblock_svc.usecases.attachments import visible
from netblock_svc.usecases.pages import Query, cut, page_of
from svckit.errors import AlreadyExists, ProtostarError
from svckit.failpoints import failpoint

log = structlog.get_logger(__name__)


class VolumeKeeper:
    """Keeps the rows and the data of volumes in step. One process at a time may do so for one back end."""

    def __init__(self, storage: Storage, backend: VolumeBackend) -> None:
        self._storage = storage
        self._backend = backend
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def create(self, wanted: Volume) -> Volume:
        """Make an empty volume; the same request again answers what was made.

        :raise AlreadyExists: VOLUME_ALREADY_EXISTS.
        :raise ResourceExhausted: NO_SPACE; nothing is left behind.
        """
        async with self._lock(wanted.uid):
            found = await self._announce(wanted)
            if found:
                return found
            await failpoint("netblock.volume.create.announced")
            try:
                await self._backend.create(wanted)
                await failpoint("netblock.volume.create.made")
                return await self._finish(wanted)
            except Exception:
                await self._forget(wanted)
                raise

    async def delete(self, uid: str, project: str) -> None:
        """Remove a volume and its data; one whose removal was interrupted is removed to the end.

        :raise NotFound: VOLUME_NOT_FOUND.
        :raise FailedPrecondition: VOLUME_IN_USE, it is attached.
        """
        async with self._lock(uid):
            volume = await self._condemn(uid, project)
            await failpoint("netblock.volume.delete.condemned")
            await self._remove(volume)

    async def recover(self) -> None:
        """Remove what an earlier process had begun to make or to remove, and nobody was told is there.

        To be called before anything is served.
        """
        async with self._storage.reading() as uow:
            unfinished = await uow.volumes.unfinished()
        for volume in unfinished:
            log.info("volume_unfinished_removed", volume=volume.uid, state=volume.state.value)
            await self._remove(volume)

    async def _announce(self, wanted: Volume) -> Volume | None:
        """Write down what is about to be made, or answer what was made already."""

        async def work(uow: UnitOfWork) -> Volume | None:
            found = await uow.volumes.find(wanted.uid)
            if found and found.state is VolumeState.AVAILABLE and is_same(found, wanted):
                return found
            # Nobody else is at work on it (the lock), so an unfinished one is what a failed attempt left behind.
            if found and found.state is not VolumeState.CREATING:
                raise AlreadyExists.of("volume", wanted.uid)
            if found:
                await uow.volumes.delete(wanted.uid)
            await uow.volumes.insert(replace(wanted, state=VolumeState.CREATING))
            return None

        return await self._storage.change(work)

    async def _finish(self, volume: Volume) -> Volume:
        async def work(uow: UnitOfWork) -> bool:
            return await uow.volumes.move(volume.uid, VolumeState.CREATING, VolumeState.AVAILABLE)

        if not await self._storage.change(work):
            raise refusals.concurrent_update(f"volume {volume.uid}")
        return replace(volume, state=VolumeState.AVAILABLE)

    async def _condemn(self, uid: str, project: str) -> Volume:
        async def work(uow: UnitOfWork) -> Volume:
            await uow.volumes.lock([uid])
            volume = await uow.volumes.find(uid)
            if volume and volume.state is VolumeState.DELETING and project in ("", volume.project):
                return volume
            volume = visible(volume, uid, project)
            if volume.attachment:
                raise refusals.volume_in_use(uid, volume.attachment.instance, volume.attachment.device)
            await uow.volumes.move(uid, VolumeState.AVAILABLE, VolumeState.DELETING)
            return volume

        return await self._storage.change(work)

    async def _remove(self, volume: Volume) -> None:
        async def work(uow: UnitOfWork) -> None:
            await uow.volumes.delete(volume.uid)

        await self._backend.delete(volume)
        await failpoint("netblock.volume.delete.removed")
        await self._storage.change(work)

    async def _forget(self, volume: Volume) -> None:
        """Undo an announcement. If that fails, the row still names what is left, for the next attempt or start."""
        try:
            await self._remove(volume)
        except (ProtostarError, OSError) as error:
            log.warning("volume_left_behind", volume=volume.uid, error=str(error))

    def _lock(self, uid: str) -> asyncio.Lock:
        return self._locks.setdefault(uid, asyncio.Lock())


async def get_volume(storage: Storage, uid: str, project: str) -> Volume:
    """:raise NotFound: VOLUME_NOT_FOUND, there is none that the project may see."""
    async with storage.reading() as uow:
        return visible(await uow.volumes.find(uid), uid, project)


async def list_volumes(storage: Storage, query: Query) -> tuple[Sequence[Volume], str]:
    """A page, oldest first, and the token of the next.

    :raise InvalidArgument: the page is not asked for properly.
    """
    page = page_of(query, {"display_name", "instance"}, {"instance": "instances"})
    async with storage.reading() as uow:
        return cut(query, await uow.volumes.page(page))
