"""An instance's side: what it is bound to, and what its compute host needs to know of it."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta

from netblock_svc.domain import refusals
from netblock_svc.domain.binding import Binding, Bound, check_binding, is_bound_as
from netblock_svc.domain.block_device import ConnectedVolume
from netblock_svc.domain.plans import make_vif
from netblock_svc.domain.port import Port, WantedPort
from netblock_svc.domain.vif import Vif
from netblock_svc.ports import Storage, UnitOfWork, VolumeBackend
from netblock_svc.usecases import networks, ports
from netblock_svc.usecases.allocation import RandomBits, allocate
from netblock_svc.usecases.attachments import attach
from netblock_svc.usecases.fencing import pass_fence
from svckit.clock import Clock
from svckit.failpoints import failpoint

# Far longer than any command can be on its way.
_LONGEST_WAY = timedelta(days=1)


async def bind_instance(
    storage: Storage, binding: Binding, *, validate_only: bool, clock: Clock, random_bits: RandomBits
) -> Bound:
    """Give an instance all its ports and volumes, or nothing; the same again answers the same.

    With `validate_only` everything is tried and taken back.

    :raise InvalidArgument: an interface or a volume is not named properly.
    :raise NotFound: NETWORK_NOT_FOUND, PORT_NOT_FOUND, VOLUME_NOT_FOUND.
    :raise FailedPrecondition: PORT_IN_USE, VOLUME_IN_USE, DEVICE_IN_USE.
    :raise ResourceExhausted: NO_FREE_ADDRESS.
    :raise AlreadyExists: INSTANCE_ALREADY_BOUND, to other ports.
    :raise Aborted: STALE_GENERATION, a later command was obeyed.
    """
    check_binding(binding)
    at = clock()

    async def work(uow: UnitOfWork) -> Bound:
        await _lock(uow, binding)
        if not validate_only:
            await pass_fence(uow, binding.instance, binding.generation, at)
        its = await _interfaces(uow, binding, at, random_bits)
        disks = [await attach(uow, disk, binding.instance, binding.project, at) for disk in binding.disks]
        return Bound(ports=tuple(its), volumes=tuple(disks))

    if validate_only:
        return await storage.change(work, dry_run=True)
    await failpoint("netblock.bind_instance.before")
    bound = await storage.change(work)
    await failpoint("netblock.bind_instance.after")
    return bound


async def release_instance(storage: Storage, instance: str, generation: int, *, clock: Clock) -> None:
    """Remove the ports made for an instance, free the others and its volumes; twice is as good as once.

    :raise Aborted: STALE_GENERATION, a later command was obeyed.
    """
    at = clock()

    async def work(uow: UnitOfWork) -> None:
        await uow.lock_instance(instance)
        await pass_fence(uow, instance, generation, at)
        await uow.fences.forget(before=at - _LONGEST_WAY)
        await uow.ports.release(instance)
        await uow.volumes.detach_all(instance)

    await failpoint("netblock.release_instance.before")
    await storage.change(work)
    await failpoint("netblock.release_instance.after")


async def network_info(storage: Storage, instance: str) -> list[Vif]:
    """An instance's VIFs in guest order; one statement."""
    async with storage.reading() as uow:
        found = await uow.ports.vifs_of(instance)
    return [make_vif(network, port) for network, port in found]


async def connected_volumes(storage: Storage, backend: VolumeBackend, instance: str) -> list[ConnectedVolume]:
    """An instance's volumes in order of attachment, with fresh connections; one statement."""
    async with storage.reading() as uow:
        volumes = await uow.volumes.attached_to(instance)
    connections = await backend.connections(volumes)
    return [ConnectedVolume(volume=volume, connection=connections.get(volume.uid)) for volume in volumes]


async def _lock(uow: UnitOfWork, binding: Binding) -> None:
    await uow.lock_instance(binding.instance)
    for rows, uids in (
        (uow.networks, [interface.network for interface in binding.interfaces if interface.network]),
        (uow.ports, [interface.port for interface in binding.interfaces if interface.port]),
        (uow.volumes, [disk.volume for disk in binding.disks]),
    ):
        if uids:
            await rows.lock(uids)


async def _interfaces(uow: UnitOfWork, binding: Binding, at: datetime, random_bits: RandomBits) -> list[Port]:
    bound = await uow.ports.of_instance(binding.instance)
    if bound and not is_bound_as(bound, binding.interfaces):
        raise refusals.instance_already_bound(binding.instance)
    if bound:
        return bound
    for position, interface in enumerate(binding.interfaces):
        if interface.port:
            port = await _existing(uow, interface.port, binding.project)
        else:
            port = await _made(uow, interface.network, binding.project, at, random_bits)
        await uow.ports.bind(port.uid, binding.instance, position)
    return await uow.ports.of_instance(binding.instance)


async def _existing(uow: UnitOfWork, uid: str, project: str) -> Port:
    port = ports.visible(await uow.ports.find(uid), uid, project)
    if port.instance:
        raise refusals.port_in_use(uid, port.instance)
    return port


async def _made(uow: UnitOfWork, uid: str, project: str, at: datetime, random_bits: RandomBits) -> Port:
    network = networks.visible(await uow.networks.find(uid), uid, project)
    wanted = WantedPort(uid=str(uuid.uuid4()), project=project, network=uid, made_for_instance=True)
    return await allocate(uow, network, wanted, at=at, random_bits=random_bits)
