"""Make, read, list and remove networks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from netblock_svc.domain import refusals
from netblock_svc.domain.default_network import DEFAULT_NETWORK
from netblock_svc.domain.network import Network, WantedNetwork
from netblock_svc.domain.plans import plan_network
from netblock_svc.ports import Storage, UnitOfWork
from netblock_svc.usecases.pages import Query, cut, page_of
from svckit.clock import Clock
from svckit.errors import AlreadyExists, NotFound


async def create_network(storage: Storage, wanted: WantedNetwork, clock: Clock) -> Network:
    """Make a network; the same request again answers what was made.

    :raise InvalidArgument: a field is wrong.
    :raise AlreadyExists: NETWORK_ALREADY_EXISTS, its uid or its name within the project is taken.
    """
    network = plan_network(wanted, clock())

    async def work(uow: UnitOfWork) -> Network:
        found = await uow.networks.find(network.uid)
        if found and replace(found, create_time=network.create_time) == network:
            return found
        if found:
            raise AlreadyExists.of("network", network.uid)
        if await uow.networks.named(network.project, network.display_name):
            raise AlreadyExists.of("network", network.display_name)
        await uow.networks.insert(network)
        return network

    return await storage.change(work)


async def get_network(storage: Storage, uid: str, project: str) -> Network:
    """:raise NotFound: NETWORK_NOT_FOUND, there is none that the project may see."""
    async with storage.reading() as uow:
        return visible(await uow.networks.find(uid), uid, project)


async def list_networks(storage: Storage, query: Query) -> tuple[Sequence[Network], str]:
    """A page, oldest first, and the token of the next.

    :raise InvalidArgument: the page is not asked for properly.
    """
    page = page_of(query, {"display_name"})
    async with storage.reading() as uow:
        return cut(query, await uow.networks.page(page))


async def delete_network(storage: Storage, uid: str, project: str) -> None:
    """Remove a network.

    :raise NotFound: NETWORK_NOT_FOUND.
    :raise PermissionDenied: the project may see it but does not own it.
    :raise FailedPrecondition: NETWORK_IN_USE, it has ports.
    """

    async def work(uow: UnitOfWork) -> None:
        await uow.networks.lock([uid])
        network = visible(await uow.networks.find(uid), uid, project)
        if project not in ("", network.project):
            raise refusals.not_the_owner("network", uid)
        if await uow.ports.any_on(uid):
            raise refusals.network_in_use(uid)
        await uow.networks.delete(uid)

    await storage.change(work)


async def ensure_default_network(storage: Storage, clock: Clock) -> None:
    """Make the network "default" unless it, or another one that everybody knows by this name, is there."""
    network = plan_network(DEFAULT_NETWORK, clock())

    async def work(uow: UnitOfWork) -> None:
        if await uow.networks.find(network.uid) or await uow.networks.named("", network.display_name):
            return
        await uow.networks.insert(network)

    await storage.change(work)


def visible(network: Network | None, uid: str, project: str) -> Network:
    """The network, if there is one that the project may see.

    :raise NotFound: NETWORK_NOT_FOUND.
    """
    if network is None or not network.is_visible_to(project):
        raise NotFound.of("network", uid)
    return network
