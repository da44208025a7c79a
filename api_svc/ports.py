"""What the use cases need from outside."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from api_svc.domain.event import Event
from api_svc.domain.host import Facts, Host
from api_svc.domain.image import Image, Import
from api_svc.domain.instance import Instance, Placed, Port, Volume
from api_svc.domain.lifecycle import Outcome
from api_svc.domain.observation import Observation
from api_svc.domain.operation import Lease, Operation, Progress, Result, Step
from api_svc.domain.query import Page
from svckit.clock import Window


class Instances(Protocol):
    """Instances, deleted ones included where not said otherwise."""

    async def find(self, uid: str) -> Placed | None:
        """The instance and its host."""

    async def add(self, instance: Instance) -> None:
        """Keep a new one. :raise AlreadyExists: INSTANCE_ALREADY_EXISTS."""

    async def save(self, instance: Instance, *, expected_version: int) -> bool:
        """Compare and swap; False, and nothing changed, when the version is another."""

    async def page(self, page: Page, fresh: Window) -> tuple[list[Placed], bool]:
        """Those that are not deleted, oldest first, and whether there are more; fewer than asked for if they are big.

        A host that was not heard of in `fresh` makes power_state UNKNOWN in filters, as it does for readers.
        """

    async def on_host(self, host: str) -> list[Instance]:
        """All of a host's that are not deleted."""

    async def count(self, project: str) -> int:
        """How many of a project are not deleted."""

    async def showing(self, volume: str) -> str | None:
        """The uid of one that says it has this volume, deleted ones excluded. Reads them all: not for every day."""


class Operations(Protocol):
    """Operations."""

    async def find(self, uid: str) -> Operation | None:
        """One that callers may see."""

    async def find_request(self, scope: str, request_id: str) -> Operation | None:
        """What a request made."""

    async def add(self, operation: Operation) -> None:
        """Keep a new one. :raise AlreadyExists: REQUEST_ID_TAKEN, its request made one before."""

    async def save(self, operation: Operation, *, owner: str | None = None) -> bool:
        """Write where it stands, all but `cancel_requested`; False when it has ended before, or another than `owner`,
        if given, holds its lease."""

    async def request_cancel(self, uid: str) -> bool:
        """Remember that cancel was asked for; False when it has ended before."""

    async def claim(self, owner: str, now: datetime, until: datetime, limit: int) -> list[Operation]:
        """Take the lease of those that are due and nobody works on, and count the attempt."""

    async def renew(self, owner: str, uids: Sequence[str], until: datetime) -> dict[str, bool]:
        """Prolong this owner's leases of these; which it still holds, and whether cancel was asked for."""

    async def release(self, replica: str) -> int:
        """Give back every lease that an earlier life of this replica held."""

    async def hasten(self, host: str, now: datetime) -> int:
        """Make what waits for this host due at once; how many."""

    async def page(self, page: Page) -> tuple[list[Operation], bool]:
        """Oldest first, and whether there are more."""

    async def remove(self, uid: str) -> bool:
        """Forget one that has ended; False when it has not, or is not there."""

    async def prune(self, before: datetime, limit: int) -> int:
        """Forget some that ended before this; how many."""


class Events(Protocol):
    """What happened, in commit order."""

    async def add(self, event: Event) -> None:
        """Write it at the end."""

    async def after(self, seq: int, limit: int, scope: str | None, instance: str) -> list[Event]:
        """What happened after this place to what may be seen."""

    async def bounds(self) -> tuple[int, int]:
        """The oldest and the newest place; (0, 0) when nothing ever happened."""

    async def prune(self, before: datetime, limit: int) -> int:
        """Forget some from before this, never the newest; how many."""


class Hosts(Protocol):
    """The hosts."""

    async def find(self, name: str) -> Host | None:
        """One, with its usage."""

    async def page(self, page: Page) -> tuple[list[Host], bool]:
        """By name, with their usage, and whether there are more."""

    async def lock_all(self) -> list[Host]:
        """All, with their usage; two transactions that place instances pass here one after the other."""

    async def boot_id(self, name: str) -> str | None:
        """The boot that its instances were last compared in; None for a new host."""

    async def register(self, facts: Facts, address: str, at: datetime) -> None:
        """It said what it is, and its instances were compared."""

    async def seen(self, name: str, at: datetime) -> None:
        """It was heard of."""

    async def silence(self, name: str, fresh: Window) -> bool:
        """It is silent, unless another replica heard of it in `fresh`; whether that is news."""


class Session(Protocol):
    """The database, in one transaction or for single reads."""

    @property
    def instances(self) -> Instances: ...
    @property
    def operations(self) -> Operations: ...
    @property
    def events(self) -> Events: ...
    @property
    def hosts(self) -> Hosts: ...


class Store(Protocol):
    """The database. Both raise Unavailable, STORAGE_UNAVAILABLE, when it is away."""

    def transaction(self) -> AbstractAsyncContextManager[Session]:
        """All of it or nothing."""

    def reading(self) -> AbstractAsyncContextManager[Session]:
        """Single reads, each its own snapshot."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """A piece of work for a host."""

    operation: Operation
    instance: Instance
    address: str
    time_left: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Ended:
    """The last word of a host's work."""

    outcome: Outcome
    result: Result = field(default_factory=Result)


class Compute(Protocol):
    """The hosts' compute_svc. A host that does not answer raises Unavailable."""

    def perform(self, job: Job) -> AsyncGenerator[Step | Ended, None]:
        """Have the work of the job's operation done; its steps as they happen, then its end."""

    async def cancel(self, job: Job) -> bool:
        """Ask it to stop and undo; False when it does not run there."""

    async def console(self, address: str, uid: str, max_bytes: int) -> tuple[bytes, bool]:
        """The end of a console, and whether there is more before it."""

    def watch(self, address: str) -> AsyncGenerator[HostNews, None]:
        """What a host tells of itself and its guests; ends only by an error."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HostNews:
    """One message of a host: its facts, all its guests, one of them, or just that it lives."""

    facts: Facts | None = None
    snapshot: tuple[Observation, ...] | None = None
    observation: Observation | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Bound:
    """What an instance got."""

    ports: tuple[Port, ...] = ()
    volumes: tuple[Volume, ...] = ()


class Netblock(Protocol):
    """netblock_svc, as instances need it."""

    async def default_network(self, project: str) -> str | None:
        """Name of the network with the display_name "default" that this project may use."""

    async def bind(
        self,
        instance: str,
        project: str,
        ports: Sequence[Port],
        volumes: Sequence[Volume],
        *,
        generation: int = 0,
        validate_only: bool = False,
    ) -> Bound:
        """Give the instance its ports and volumes; again, the same ones.

        :raise Aborted: STALE_GENERATION, a later command was obeyed.
        """

    async def release(self, instance: str, *, generation: int) -> None:
        """Take them all away; again, nothing. :raise Aborted: STALE_GENERATION."""


class Catalogue(Protocol):
    """image_svc's catalogue."""

    async def get(self, uid: str) -> Image:
        """:raise NotFound: IMAGE_NOT_FOUND."""

    async def page(self, size: int, token: str, filter_text: str) -> tuple[list[Image], str]:
        """Oldest first, and the token of the next page."""

    async def delete(self, uid: str) -> None:
        """:raise NotFound: IMAGE_NOT_FOUND."""

    def import_(self, wanted: Import) -> AsyncGenerator[Step | Progress | Image, None]:
        """Bring it in: steps and progress, then the image. Cancelling leaves nothing behind."""


class EventSink(Protocol):
    """Where events go beside the watchers."""

    async def last(self) -> str:
        """The cursor of the last one written, "" if there is none."""

    async def write(self, cursor: str, event: Event) -> None:
        """Keep one. :raise OSError: it cannot be written now."""


class Work(Protocol):
    """Who does what was accepted."""

    def lease(self) -> Lease | None:
        """A lease for what is about to be accepted, so that it begins at once; None when there is no room here."""

    def take(self, operation: Operation, placed: Placed | None) -> None:
        """Begin with what was accepted under such a lease; without one, have it claimed soon."""

    def superseded(self, operation: Operation) -> None:
        """Stop caring for this one: it has ended because another took its place."""

    def cancel(self, uid: str) -> None:
        """Cancel was asked for, and written."""

    def wake_in(self, seconds: float) -> None:
        """Look for what is due, after a while."""

    def is_working_on(self, instance: str) -> bool:
        """Whether an operation of this instance is in work on this replica."""
