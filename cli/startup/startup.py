"""Until everything serves, or it is clear that it will not."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from protostar.api.v1 import host_pb2

from cli.startup import readiness
from cli.startup.board import Board
from cli.startup.launch import Event, Launch
from cli.supervisor import logs
from cli.supervisor.plan import Plan

# In a row, before it ever served: it will not get better by itself.
_TOO_OFTEN = 3


class NotStarted(Exception):
    """The services did not come up; everything that was started is stopped again."""

    def __init__(self, message: str, hint: str = "", details: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.hint = hint
        self.details = tuple(details)


class Startup:
    """A supervisor that was launched, from its first word to its last."""

    def __init__(self, plan: Plan, launched: Launch) -> None:
        self._plan = plan
        self._launched = launched
        self._refused: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # Somebody else may be serving at our addresses: who was not started by us is not asked.
        self._started = {program.name: asyncio.Event() for program in plan.programs}
        self.pid: int | None = None
        self.on_event: Callable[[Event], None] = self._while_starting
        self.board: Board | None = None
        self.ended = asyncio.ensure_future(self._listen())

    async def come_up(self, board: Board, stop: asyncio.Event, seconds: float) -> host_pb2.Host | None:
        """The host, once everything serves; None when `stop` was set meanwhile.

        :raise NotStarted: it cannot, or did not in time.
        """
        self.board = board
        ready = asyncio.ensure_future(self._until_ready(board))
        stopped = asyncio.ensure_future(stop.wait())
        waits: set[asyncio.Future[Any]] = {ready, stopped, self._refused}
        done, _ = await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if ready not in done:
            ready.cancel()
            if stopped not in done:
                self._check(board, seconds)
            return None
        self.board = None
        return ready.result()

    def stop(self) -> None:
        """Tell the supervisor to stop; told again, it does not wait for the services to drain."""
        if self.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)

    async def stopped(self) -> None:
        """Until it has."""
        await self.ended
        await asyncio.to_thread(self._launched.forget)

    def release(self) -> None:
        """Leave a daemon to itself."""
        self.ended.cancel()
        self._launched.forget()

    def _check(self, board: Board, seconds: float) -> None:
        if self._refused.done():
            self._refused.result()
        missing = board.missing()
        raise NotStarted(
            f"{', '.join(missing)} did not come up within {seconds:g} s",
            "protostar doctor   tells what this machine lacks; --wait SECONDS gives it more time",
            self._tail(next((name for name in missing if name != "host"), "compute_svc")),
        )

    async def _until_ready(self, board: Board) -> host_pb2.Host:
        async def serving(name: str, address: str) -> None:
            await self._started[name].wait()
            await readiness.until_serving(address)
            board.serves(name)

        await asyncio.gather(*(serving(program.name, program.address) for program in self._plan.programs))
        api = next(program.address for program in self._plan.programs if program.name == "api_svc")
        host = await readiness.until_host(api)
        board.serves("host", f"{host.name.rpartition('/')[2]} is up")
        return host

    async def _listen(self) -> None:
        async for event in self._launched.events():
            if event["event"] == "locked":
                self.pid = event["pid"]
            self.on_event(event)
        self._refuse(NotStarted("the supervisor ended", details=self._tail("supervisor")))

    def _while_starting(self, event: Event) -> None:
        if event["event"] == "already_running":
            self._refuse(_already_running(self._plan, event["holder"]))
        elif event["event"] == "address_taken":
            self._refuse(_address_taken(event["taken"]))
        elif event["event"] == "failed":
            self._refuse(NotStarted(f"the supervisor cannot work: {event['why']}"))
        elif event["event"] == "started":
            self._started[event["service"]].set()
        elif event["event"] == "ended":
            self._service_ended(event)

    def _service_ended(self, event: Event) -> None:
        if self.board:
            self.board.ended(event["service"], event["how"])
        if event["failures"] >= _TOO_OFTEN:
            words = f"{event['service']} does not start: it {event['how']}, {event['failures']} times in a row"
            hint = "protostar doctor   tells what this machine lacks"
            self._refuse(NotStarted(words, hint, self._tail(event["service"])))

    def _refuse(self, why: NotStarted) -> None:
        if not self._refused.done():
            self._refused.set_exception(why)
            self._refused.exception()  # looked at: whoever waits may have gone

    def _tail(self, name: str) -> list[str]:
        path = logs.path_of(self._plan.logs_dir, name)
        return [f"the end of {path}:", *(f"  {line}" for line in logs.tail(path))]


def _already_running(plan: Plan, holder: Mapping[str, Any]) -> NotStarted:
    where = holder.get("addresses", {}).get("api_svc", "an address not known yet")
    return NotStarted(
        f"Protostar is already running on {plan.data_dir}, as process {holder.get('pid', '?')}, its API at {where}",
        "protostar status   shows it, protostar down   stops it; --data-dir chooses another place",
    )


def _address_taken(taken: Sequence[Mapping[str, str]]) -> NotStarted:
    lines = [f"{entry['service']}: {entry['address']} {entry['why']}" for entry in taken]
    options = " ".join(f"{entry['option']} HOST:PORT" for entry in taken)
    return NotStarted(lines[0], f"protostar up {options}   chooses another", lines[1:])
