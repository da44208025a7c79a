"""Looking at instances and hosts."""

from __future__ import annotations

from datetime import datetime, timedelta

from api_svc.domain import admission, observation, policy, query
from api_svc.domain.host import Host
from api_svc.domain.instance import Instance, Placed
from api_svc.domain.policy import Caller
from api_svc.ports import Compute, Store
from svckit.clock import Clock, Window
from svckit.errors import Unavailable

DEFAULT_CONSOLE = 65_536
MAX_CONSOLE = 1_048_576


class Reading:
    """`stale_after`: a host silent for longer makes power_state UNKNOWN, never off."""

    def __init__(self, store: Store, compute: Compute, clock: Clock, stale_after: timedelta) -> None:
        self._store = store
        self._compute = compute
        self._clock = clock
        self._stale_after = stale_after

    async def get(self, caller: Caller, uid: str) -> Instance:
        """One instance. :raise NotFound: INSTANCE_NOT_FOUND."""
        return self.as_seen(await self._find(caller, uid, "instance.get"))

    async def page(self, caller: Caller, size: int, token: str, filter_text: str) -> tuple[list[Instance], str]:
        """A page of instances and the token of the next."""
        policy.require(caller, "instance.list")
        page = query.instances(size, token, filter_text, caller.scope)
        async with self._store.reading() as session:
            found, more = await session.instances.page(page, Window.lately(self._clock(), self._stale_after))
        last = found[-1].instance if found else None
        next_token = page.token(_key(last.create_time, last.uid)) if more and last else ""
        return [self.as_seen(placed) for placed in found], next_token

    async def console(self, caller: Caller, uid: str, max_bytes: int) -> tuple[bytes, bool]:
        """The end of its console, and whether there is more before it.

        :raise Unavailable: its host does not answer.
        """
        placed = await self._find(caller, uid, "instance.console")
        admission.check_placed(placed)
        if placed.host is None:
            raise Unavailable("its host does not answer")
        wanted = min(max_bytes or DEFAULT_CONSOLE, MAX_CONSOLE)
        return await self._compute.console(placed.host.address, uid, wanted)

    async def host(self, caller: Caller, name: str) -> Host:
        """One host. :raise NotFound: HOST_UNKNOWN."""
        policy.require(caller, "host.get")
        async with self._store.reading() as session:
            host = await session.hosts.find(name)
        if host is None:
            raise admission.unknown_host(name)
        return host

    async def hosts(self, caller: Caller, size: int, token: str) -> tuple[list[Host], str]:
        """A page of hosts and the token of the next."""
        policy.require(caller, "host.list")
        page = query.hosts(size, token)
        async with self._store.reading() as session:
            found, more = await session.hosts.page(page)
        return found, page.token((found[-1].name,)) if more else ""

    def as_seen(self, placed: Placed) -> Instance:
        """As a reader may be told of it."""
        return observation.as_seen(placed.instance, placed.host, self._clock(), self._stale_after)

    async def _find(self, caller: Caller, uid: str, permission: str) -> Placed:
        async with self._store.reading() as session:
            placed = admission.visible(caller, await session.instances.find(uid), uid)
        policy.require(caller, permission)
        return placed


def _key(moment: datetime, uid: str) -> tuple[str, str]:
    return moment.isoformat(), uid
