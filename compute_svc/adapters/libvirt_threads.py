"""Threads for calls that block and may hang: bounded, and a hung call costs one thread, never the service.

`concurrent.futures` would do but for two things: it waits for its threads when the process ends, and a call that never
returns takes a place for ever. Here threads are daemons, and a call that is given up is replaced by a new thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from svckit.errors import Unavailable

# So many calls may hang before new ones are refused at once.
_MOST_GIVEN_UP = 64


@dataclass(eq=False)
class Call:
    """A call that was handed to the threads; await `future` for its outcome."""

    function: Callable[[], Any]
    future: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop
    running: bool = False
    given_up: bool = False


class Threads:
    """At most `size` calls at once, not counting those that were given up."""

    def __init__(self, size: int, name: str) -> None:
        self._size = size
        self._name = name
        self._calls: deque[Call] = deque()
        self._changed = threading.Condition()
        self._threads = 0
        self._idle = 0
        self._given_up = 0
        self._closed = False

    def submit(self, function: Callable[[], Any]) -> Call:
        """Have a function called in one of the threads.

        Cancelling the future does not stop a call that runs; `give_up` says that nobody waits for it any more.

        :raise Unavailable: LIBVIRT_UNRESPONSIVE, too many calls hang already.
        """
        loop = asyncio.get_running_loop()
        call = Call(function, loop.create_future(), loop)
        with self._changed:
            if self._given_up >= _MOST_GIVEN_UP:
                raise Unavailable(
                    f"{self._given_up} calls to libvirt have not returned; restart libvirtd, then this service",
                    reason="LIBVIRT_UNRESPONSIVE",
                )
            self._calls.append(call)
            self._serve_waiting()
        return call

    def give_up(self, call: Call) -> None:
        """Nobody waits for this call any more: let another thread take the place of the one that is stuck in it."""
        with self._changed:
            if call.given_up or call.future.done():
                return
            call.given_up = True
            if call.running:
                self._given_up += 1
                self._threads -= 1
                self._serve_waiting()
                call.future.add_done_callback(_look_away)
            else:
                call.future.cancel()

    def close(self) -> None:
        """Let idle threads end; stuck ones are left behind."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _serve_waiting(self) -> None:
        if len(self._calls) <= self._idle:
            self._changed.notify()
        elif self._threads < self._size:
            self._threads += 1
            threading.Thread(target=self._serve, name=self._name, daemon=True).start()

    def _serve(self) -> None:
        while (call := self._next()) is not None:
            try:
                result, error = call.function(), None
            except Exception as raised:
                result, error = None, raised
            replaced = self._done(call)
            _deliver(call, result, error)
            if replaced:
                return

    def _next(self) -> Call | None:
        with self._changed:
            while True:
                while self._calls:
                    call = self._calls.popleft()
                    if not call.given_up:
                        call.running = True
                        return call
                if self._closed:
                    return None
                self._idle += 1
                self._changed.wait()
                self._idle -= 1

    def _done(self, call: Call) -> bool:
        """Whether another thread has taken this one's place."""
        with self._changed:
            call.running = False
            if call.given_up:
                self._given_up -= 1
            return call.given_up


def _deliver(call: Call, result: Any, error: Exception | None) -> None:
    # The loop may have closed while the call hung; then nobody is left to be told.
    with contextlib.suppress(RuntimeError):
        call.loop.call_soon_threadsafe(_settle, call.future, result, error)


def _settle(future: asyncio.Future[Any], result: Any, error: Exception | None) -> None:
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)


def _look_away(future: asyncio.Future[Any]) -> None:
    """The outcome of a call that was given up is nobody's; asking for it keeps asyncio from complaining."""
    if not future.cancelled():
        future.exception()
