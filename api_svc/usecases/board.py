"""News in memory: operations as this replica works on them, and a bell for whoever follows the events.

What is told here was true before it was told: operations are told of as they run, ended ones after their commit.
Nothing is kept for others; who needs to know what another replica does reads the database again from time to time.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

from api_svc.domain.operation import Operation


class Subscription:
    """News of one operation: the last told, and a wait for the next."""

    def __init__(self, latest: Operation | None) -> None:
        self.latest = latest
        self._changed = asyncio.Event()

    def tell(self, operation: Operation) -> None:
        """Have news."""
        self.latest = operation
        self._changed.set()

    def wake(self) -> None:
        """Wake the waiting without news."""
        self._changed.set()

    async def next(self, seconds: float) -> bool:
        """Wait for news, or for `seconds` to pass; whether there were any."""
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return False
        self._changed.clear()
        return True


class Board:
    """Operations in work on this replica, by uid."""

    def __init__(self) -> None:
        self._live: dict[str, Operation] = {}
        self._subscriptions: dict[str, set[Subscription]] = {}
        self.closed = False

    def live(self, uid: str) -> Operation | None:
        """As it is right now, if this replica works on it."""
        return self._live.get(uid)

    def publish(self, operation: Operation) -> None:
        """Tell how it is now; one that has ended is told of once and then forgotten."""
        if operation.done:
            self._live.pop(operation.uid, None)
        else:
            self._live[operation.uid] = operation
        for subscription in self._subscriptions.get(operation.uid, ()):
            subscription.tell(operation)

    def forget(self, uid: str) -> None:
        """This replica does not work on it any more; readers go to the database."""
        self._live.pop(uid, None)
        for subscription in self._subscriptions.get(uid, ()):
            subscription.latest = None
            subscription.wake()

    @contextlib.contextmanager
    def subscribe(self, uid: str) -> Iterator[Subscription]:
        """Follow one operation. Subscribe first, read the database second: then nothing falls in between."""
        subscription = Subscription(self._live.get(uid))
        self._subscriptions.setdefault(uid, set()).add(subscription)
        try:
            yield subscription
        finally:
            followers = self._subscriptions[uid]
            followers.discard(subscription)
            if not followers:
                del self._subscriptions[uid]

    def close(self) -> None:
        """The daemon drains: whoever waits is woken, and finds it `closed`."""
        self.closed = True
        for followers in self._subscriptions.values():
            for subscription in followers:
                subscription.wake()


class Bell:
    """Rung after every commit that wrote events."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()
        self.closed = False

    def ring(self) -> None:
        """There is something new to read."""
        self._rung.set()
        self._rung = asyncio.Event()

    def listen(self) -> asyncio.Event:
        """What the next ring will set. Listen first, read second."""
        return self._rung

    def close(self) -> None:
        """The daemon drains."""
        self.closed = True
        self.ring()
