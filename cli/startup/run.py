"""The whole of `protostar up`: come up, stay in front or leave, go down again."""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import replace

from protostar.api.v1 import host_pb2
from rich.text import Text

from cli.client.guests import running_guests
from cli.failure import CommandFailed
from cli.present import messages, terminal, words
from cli.session import Session
from cli.startup.board import Board
from cli.startup.launch import Event, launch
from cli.startup.startup import NotStarted, Startup
from cli.supervisor.plan import Plan
from svckit import defaults

_STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


async def run(plan: Plan, session: Session, *, detach: bool, seconds: float) -> None:
    """Start everything; return when it serves (`detach`) or when it has been stopped.

    :raise NotStarted: it did not come up; everything is stopped again.
    :raise CommandFailed: it was told to stop before it was up.
    """
    session = replace(session, data_dir=plan.data_dir, api_address=_api_address(plan))
    stop = _stop_on_signals()
    if not session.as_json:
        terminal.note(("protostar", "bold"), f"  everything is in {plan.data_dir}")
    startup = Startup(plan, launch(plan, detach=detach))
    host = await _come_up(startup, plan, session, stop, seconds)
    if host is None:
        await _stop(startup)
        raise CommandFailed("stopped before it was up")
    _welcome(session, plan, startup, host, detach=detach)
    if detach:
        startup.release()
    else:
        await _stay(startup, session, stop)


async def _come_up(
    startup: Startup, plan: Plan, session: Session, stop: asyncio.Event, seconds: float
) -> host_pb2.Host | None:
    try:
        with Board(plan.programs, quiet=session.as_json) as board:
            return await startup.come_up(board, stop, seconds)
    except NotStarted:
        await _stop(startup)
        raise


async def _stop(startup: Startup) -> None:
    startup.stop()
    await startup.stopped()


async def _stay(startup: Startup, session: Session, stop: asyncio.Event) -> None:
    """In front, telling what happens, until a signal or until somebody else stops the supervisor."""
    startup.on_event = _tell
    waiting = asyncio.ensure_future(stop.wait())
    await asyncio.wait({waiting, startup.ended}, return_when=asyncio.FIRST_COMPLETED)
    if stop.is_set():
        guests = await running_guests(session)
        terminal.note(("\nstopping the services; what they are doing is finished first", "bold"))
        terminal.note(("Ctrl-C again does not wait for it", "quiet"))
        startup.stop()
        stop.clear()
        await _impatiently(startup, stop)
        terminal.note(still_running(guests))
    waiting.cancel()
    await startup.stopped()
    terminal.note("Protostar is stopped")


async def _impatiently(startup: Startup, stop: asyncio.Event) -> None:
    again = asyncio.ensure_future(stop.wait())
    await asyncio.wait({again, startup.ended}, return_when=asyncio.FIRST_COMPLETED)
    if stop.is_set():
        startup.stop()
        await startup.ended
    again.cancel()


def still_running(guests: int | None) -> str:
    """What is said about guests when the services stop."""
    if guests is None:
        return "guests that were running keep running"
    if guests == 0:
        return "no guest was running"
    keeps = "keeps" if guests == 1 else "keep"
    return f"{words.count(guests, 'guest')} {keeps} running; protostar up finds them again"


def _tell(event: Event) -> None:
    if event["event"] == "ended":
        again = words.duration(event["again_in"])
        terminal.note(("✗ ", "bad"), f"{event['service']} {event['how']}; starting again in {again}")
    elif event["event"] == "started":
        terminal.note(("✓ ", "good"), f"{event['service']} started again, process {event['pid']}")
    elif event["event"] == "stopped":
        terminal.note(("✓ ", "good"), f"{event['service']} stopped")


def _welcome(session: Session, plan: Plan, startup: Startup, host: host_pb2.Host, *, detach: bool) -> None:
    if session.as_json:
        addresses = {program.name: program.address for program in plan.programs}
        record = {"pid": startup.pid, "data_dir": str(plan.data_dir), "addresses": addresses}
        messages.show_json({**record, "host": messages.as_json(host)})
        return
    terminal.note(_engine(host))
    terminal.note("\nNext", "" if detach else ", in another terminal", ":")
    for line in _next(session):
        terminal.note("  ", line)
    last = "protostar down   stops the services" if detach else "Ctrl-C stops the services"
    terminal.note((f"{last}; guests keep running", "quiet"))


def _engine(host: host_pb2.Host) -> Text:
    version = f" {host.hypervisor_version}" if host.hypervisor_version else ""
    slow = "; this machine has no KVM, so they are emulated and slow" if host.domain_type == "qemu" else ""
    return terminal.styled((f"guests run under {host.domain_type}{version} on {host.connection}{slow}", "quiet"))


def _next(session: Session) -> list[Text]:
    lines = [
        ("protostar image import NAME PATH", "  a qcow2, raw or iso file, or an http address"),
        ("protostar instance create NAME --image NAME", ""),
        ("protostar instance console NAME --follow", ""),
    ]
    usual = session.data_dir == defaults.data_dir() or os.environ.get("PROTOSTAR_DATA_DIR") == str(session.data_dir)
    if not usual:
        lines.insert(0, (f"export PROTOSTAR_DATA_DIR={session.data_dir}", "  so that the commands find it"))
    return [terminal.styled((command, "command"), (remark, "quiet")) for command, remark in lines]


def _api_address(plan: Plan) -> str:
    return next(program.address for program in plan.programs if program.name == "api_svc")


def _stop_on_signals() -> asyncio.Event:
    stop = asyncio.Event()
    for number in _STOPS:
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop
