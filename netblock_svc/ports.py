"""What the use cases need from outside: rows, and the bytes of volumes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeVar

from netblock_svc.domain.addressing import IPAddress
from netblock_svc.domain.network import Network
from netblock_svc.domain.port import Port
from netblock_svc.domain.volume import Attachment, Connection, Volume, VolumeState
from svckit.listing import Comparison

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Page:
    """Part of a list: `size` rows after the one with key `after`, of what `project` may see ("" for all)."""

    size: int
    after: tuple[datetime, str] | None
    project: str
    comparisons: tuple[Comparison, ...]


class Networks(Protocol):
    """Rows of networks with their subnets."""

    async def find(self, uid: str) -> Network | None:
        """One network, None if there is none."""

    async def named(self, project: str, display_name: str) -> Network | None:
        """The network of this owner and name."""

    async def page(self, page: Page) -> list[Network]:
        """Oldest first."""

    async def lock(self, uids: Sequence[str]) -> None:
        """Keep others from changing these networks, or allocating on them, until the end of the transaction."""

    async def insert(self, network: Network) -> None:
        """Add a network."""

    async def delete(self, uid: str) -> None:
        """Remove a network without ports."""


class Addresses(Protocol):
    """Who holds which address. The network must be locked."""

    async def is_taken(self, subnet: str, address: IPAddress) -> bool:
        """Whether a port holds it."""

    async def next_free(self, subnet: str, slots: int) -> int | None:
        """The next free slot below `slots`, going round; None when all are taken."""

    async def take(self, subnet: str, address: IPAddress, slot: int, port: str) -> None:
        """Have a port, which must exist, hold an address."""


class Ports(Protocol):
    """Rows of ports with their addresses."""

    async def find(self, uid: str) -> Port | None:
        """One port, None if there is none."""

    async def page(self, page: Page) -> list[Port]:
        """Oldest first."""

    async def of_instance(self, instance: str) -> list[Port]:
        """In guest order."""

    async def vifs_of(self, instance: str) -> list[tuple[Network, Port]]:
        """In guest order, with their networks; one statement."""

    async def any_on(self, network: str) -> bool:
        """Whether a network has a port."""

    async def has_mac(self, mac_address: str) -> bool:
        """Whether a port has this MAC address."""

    async def lock(self, uids: Sequence[str]) -> None:
        """Keep others from changing these ports until the end of the transaction."""

    async def insert(self, port: Port) -> None:
        """Add a port; its addresses are taken one by one."""

    async def bind(self, uid: str, instance: str, position: int) -> None:
        """Give a port to an instance."""

    async def release(self, instance: str) -> None:
        """Remove the ports made for an instance, free the others."""

    async def delete(self, uid: str) -> None:
        """Remove a port and free its addresses."""


class Volumes(Protocol):
    """Rows of volumes with their attachments."""

    async def find(self, uid: str) -> Volume | None:
        """One volume in whatever state, None if there is none."""

    async def page(self, page: Page) -> list[Volume]:
        """Available ones, oldest first."""

    async def attached_to(self, instance: str) -> list[Volume]:
        """In order of attachment; one statement."""

    async def unfinished(self) -> list[Volume]:
        """Those that are neither made nor removed completely."""

    async def lock(self, uids: Sequence[str]) -> None:
        """Keep others from changing these volumes until the end of the transaction."""

    async def insert(self, volume: Volume) -> None:
        """Add a volume."""

    async def move(self, uid: str, old: VolumeState, new: VolumeState) -> bool:
        """Change a state; False if it was another."""

    async def delete(self, uid: str) -> None:
        """Remove a volume that is not attached."""

    async def attach(self, attachment: Attachment) -> None:
        """Add an attachment."""

    async def detach(self, volume: str) -> None:
        """Remove a volume's attachment, if it has one."""

    async def detach_all(self, instance: str) -> None:
        """Remove all attachments of an instance."""


class Fences(Protocol):
    """The newest generation of each instance that was obeyed. The instance must be locked."""

    async def newest(self, instance: str) -> int:
        """0 when nothing was."""

    async def move(self, instance: str, generation: int, at: datetime) -> None:
        """This one is."""

    async def forget(self, before: datetime) -> None:
        """Drop those that have not moved since."""


class UnitOfWork(Protocol):
    """What one transaction works with."""

    networks: Networks
    addresses: Addresses
    ports: Ports
    volumes: Volumes
    fences: Fences

    async def lock_instance(self, instance: str) -> None:
        """Keep others from binding, attaching to or releasing an instance until the end of the transaction.

        Locks are taken in the order instance, networks, ports, volumes, so that nobody waits in a ring.
        """


class Storage(Protocol):
    """The database."""

    async def change(self, work: Callable[[UnitOfWork], Awaitable[T]], *, dry_run: bool = False) -> T:
        """Do work in one transaction: all of it or, on an exception or with `dry_run`, nothing.

        Work that collides with somebody else's is done again from its beginning.

        :raise Aborted: CONCURRENT_UPDATE, it collided too often.
        :raise Unavailable: STORAGE_UNAVAILABLE.
        """

    def reading(self) -> AbstractAsyncContextManager[UnitOfWork]:
        """Single reads, each of the newest state."""


class VolumeBackend(Protocol):
    """Where the bytes of volumes are: files today; LVM, iSCSI and RBD come as further adapters."""

    async def create(self, volume: Volume) -> None:
        """Make an empty disk, durably; one left over by an unfinished attempt is replaced.

        :raise ResourceExhausted: NO_SPACE; nothing is left behind.
        """

    async def delete(self, volume: Volume) -> None:
        """Remove a disk in whatever state its making left it. Removing what is not there succeeds."""

    async def connections(self, volumes: Sequence[Volume]) -> Mapping[str, Connection]:
        """How to reach volumes, by uid; one that cannot be reached is left out."""
