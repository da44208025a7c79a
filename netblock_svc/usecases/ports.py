"""Make, read, list and remove ports."""

from __future__ import annotations

from collections.abc import Sequence

from netblock_svc.domain import refusals
from netblock_svc.domain.port import Port, WantedPort, check_port, is_as_wanted
from netblock_svc.ports import Storage, UnitOfWork
from netblock_svc.usecases import networks
from netblock_svc.usecases.allocation import RandomBits, allocate
from netblock_svc.usecases.pages import Query, cut, page_of
from svckit.clock import Clock
from svckit.errors import AlreadyExists, NotFound

_COLLECTIONS = {"network": "networks", "instance": "instances"}


async def create_port(storage: Storage, wanted: WantedPort, *, clock: Clock, random_bits: RandomBits) -> Port:
    """Make a port; the same request again answers what was made.

    :raise InvalidArgument: a field is wrong.
    :raise NotFound: NETWORK_NOT_FOUND.
    :raise AlreadyExists: PORT_ALREADY_EXISTS, or ADDRESS_IN_USE.
    :raise ResourceExhausted: NO_FREE_ADDRESS.
    """
    check_port(wanted)
    at = clock()

    async def work(uow: UnitOfWork) -> Port:
        await uow.networks.lock([wanted.network])
        found = await uow.ports.find(wanted.uid)
        if found and is_as_wanted(found, wanted):
            return found
        if found:
            raise AlreadyExists.of("port", wanted.uid)
        network = networks.visible(await uow.networks.find(wanted.network), wanted.network, wanted.project)
        return await allocate(uow, network, wanted, at=at, random_bits=random_bits)

    return await storage.change(work)


async def get_port(storage: Storage, uid: str, project: str) -> Port:
    """:raise NotFound: PORT_NOT_FOUND, there is none that the project may see."""
    async with storage.reading() as uow:
        return visible(await uow.ports.find(uid), uid, project)


async def list_ports(storage: Storage, query: Query) -> tuple[Sequence[Port], str]:
    """A page, oldest first, and the token of the next.

    :raise InvalidArgument: the page is not asked for properly.
    """
    page = page_of(query, {"network", "instance", "display_name"}, _COLLECTIONS)
    async with storage.reading() as uow:
        return cut(query, await uow.ports.page(page))


async def delete_port(storage: Storage, uid: str, project: str) -> None:
    """Remove a port and free its addresses.

    :raise NotFound: PORT_NOT_FOUND.
    :raise FailedPrecondition: PORT_IN_USE, an instance uses it.
    """

    async def work(uow: UnitOfWork) -> None:
        await uow.ports.lock([uid])
        port = visible(await uow.ports.find(uid), uid, project)
        if port.instance:
            raise refusals.port_in_use(uid, port.instance)
        await uow.ports.delete(uid)

    await storage.change(work)


def visible(port: Port | None, uid: str, project: str) -> Port:
    """The port, if there is one that the project may see.

    :raise NotFound: PORT_NOT_FOUND.
    """
    if port is None or not port.is_visible_to(project):
        raise NotFound.of("port", uid)
    return port
