"""Attach volumes to instances and detach them."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import datetime

from netblock_svc.domain import refusals
from netblock_svc.domain.binding import WantedDisk
from netblock_svc.domain.volume import Attachment, Volume
from netblock_svc.ports import Storage, UnitOfWork
from netblock_svc.usecases.fencing import pass_fence
from svckit.clock import Clock
from svckit.errors import NotFound


async def attach_volume(
    storage: Storage, disk: WantedDisk, instance: str, generation: int, project: str, clock: Clock
) -> Volume:
    """Attach a volume; attaching again what is attached there succeeds.

    :raise NotFound: VOLUME_NOT_FOUND.
    :raise FailedPrecondition: VOLUME_IN_USE, it is attached elsewhere; DEVICE_IN_USE, another volume is there.
    :raise Aborted: STALE_GENERATION, a later command for the instance was obeyed.
    """
    at = clock()

    async def work(uow: UnitOfWork) -> Volume:
        await uow.lock_instance(instance)
        await uow.volumes.lock([disk.volume])
        await pass_fence(uow, instance, generation, at)
        return await attach(uow, disk, instance, project, at)

    return await storage.change(work)


async def detach_volume(storage: Storage, uid: str, instance: str, project: str) -> Volume:
    """Take a volume from this instance; one that is not attached to it stays as it is.

    :raise NotFound: VOLUME_NOT_FOUND.
    """

    async def work(uow: UnitOfWork) -> Volume:
        await uow.volumes.lock([uid])
        volume = visible(await uow.volumes.find(uid), uid, project)
        if volume.attachment is None or volume.attachment.instance != instance:
            return volume
        await uow.volumes.detach(uid)
        return replace(volume, attachment=None)

    return await storage.change(work)


async def attach(uow: UnitOfWork, disk: WantedDisk, instance: str, project: str, at: datetime) -> Volume:
    """Attach a volume within a transaction that has locked the instance and the volume. Errors: see attach_volume."""
    volume = visible(await uow.volumes.find(disk.volume), disk.volume, project)
    if volume.attachment:
        return _attached_already(volume, volume.attachment, disk, instance)
    others = [other.attachment for other in await uow.volumes.attached_to(instance) if other.attachment]
    if disk.device and disk.device in (other.device for other in others):
        raise refusals.device_in_use(disk.device, instance)
    attachment = Attachment(
        uid=str(uuid.uuid4()),
        volume=volume.uid,
        instance=instance,
        device=disk.device,
        position=max((other.position for other in others), default=-1) + 1,
        attach_time=at,
    )
    await uow.volumes.attach(attachment)
    return replace(volume, attachment=attachment)


def visible(volume: Volume | None, uid: str, project: str) -> Volume:
    """The volume, if there is one that the project may see.

    :raise NotFound: VOLUME_NOT_FOUND.
    """
    if volume is None or not volume.is_visible_to(project):
        raise NotFound.of("volume", uid)
    return volume


def _attached_already(volume: Volume, attachment: Attachment, disk: WantedDisk, instance: str) -> Volume:
    if attachment.instance != instance or disk.device not in ("", attachment.device):
        raise refusals.volume_in_use(volume.uid, attachment.instance, attachment.device)
    return volume
