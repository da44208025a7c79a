"""protostar down, protostar status"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from protostar.api.v1 import instance_service_pb2

from cli.client.api import connected
from cli.client.guests import running_guests
from cli.failure import CommandFailed
from cli.present import errors, messages, tables, terminal, words
from cli.present.tables import Column, state
from cli.session import Session
from cli.startup import readiness
from cli.startup.run import still_running
from cli.supervisor import linux, lock
from svckit.errors import PermissionDenied, ProtostarError

_MARGIN_SECONDS = 15.0


def down(
    session: Session,
    force: Annotated[bool, typer.Option("--force", help="Do not let the services finish what they do.")] = False,
) -> None:
    """Stop the services of this machine. Guests keep running."""
    holder = lock.holder(session.data_dir)
    if holder is None:
        _say(session, {"stopped": False}, f"nothing is running on {session.data_dir}")
        return
    guests = asyncio.run(running_guests(session))
    if not _stop(int(holder["pid"]), float(holder.get("drain_seconds", 10)), force=force):
        errors.show_line("the services are still draining", "protostar down --force   does not wait for them")
        raise CommandFailed("still draining")
    _say(session, {"stopped": True, "guests": guests}, f"Protostar is stopped; {still_running(guests)}")


def status(session: Session) -> None:
    """How the services of this machine are; 1 when one of them does not serve."""
    holder = lock.holder(session.data_dir)
    if holder is None:
        if session.as_json:
            messages.show_json({"running": False, "data_dir": str(session.data_dir)})
        else:
            errors.show_line(f"nothing is running on {session.data_dir}", "protostar up   starts it")
        raise CommandFailed("not running")
    services = asyncio.run(_services(holder, lock.read_state(session.data_dir)))
    counts = asyncio.run(_instances(session))
    if session.as_json:
        _show_json(session, holder, services, counts)
    else:
        _show(session, holder, services, counts)
    if any(service.health != "SERVING" for service in services):
        raise CommandFailed("not all services serve")


@dataclass(frozen=True, kw_only=True)
class _Service:
    name: str
    address: str
    health: str
    pid: int | None
    restarts: int
    started: float
    resident: int | None


async def _services(holder: Mapping[str, Any], written: Mapping[str, Any]) -> list[_Service]:
    addresses = holder.get("addresses", {})
    health = await readiness.health(addresses)
    known = written.get("services", {})
    return [_service(name, addresses[name], health[name], known.get(name, {})) for name in addresses]


def _service(name: str, address: str, health: str, known: Mapping[str, Any]) -> _Service:
    pid = known.get("pid")
    return _Service(
        name=name,
        address=address,
        health=health,
        pid=pid,
        restarts=known.get("restarts", 0),
        started=known.get("started", 0.0),
        resident=linux.resident_bytes(pid) if pid else None,
    )


async def _instances(session: Session) -> dict[str, int] | None:
    """How many instances are in which state; None when nobody can tell."""
    with contextlib.suppress(ProtostarError, TimeoutError):
        async with asyncio.timeout(5), connected(session) as api:
            answer = await api.every(api.instances.ListInstances, instance_service_pb2.ListInstancesRequest())
            return dict(Counter(words.enum(instance, "vm_state") for instance in answer.instances))
    return None


def _show(session: Session, holder: Mapping[str, Any], services: list[_Service], counts: dict[str, int] | None) -> None:
    columns = (
        Column("SERVICE", lambda s: terminal.styled((s.name, s.name))),
        Column("STATE", lambda s: state(s.health, "" if s.health == "SERVING" else "bad"), importance=8),
        Column("PID", lambda s: str(s.pid or ""), importance=6, right=True),
        Column("MEMORY", lambda s: words.size(s.resident) if s.resident else "", importance=5, right=True),
        Column("RESTARTS", lambda s: str(s.restarts), importance=4, right=True),
        Column("UP", lambda s: words.long_duration(int(time.time() - s.started)) if s.pid else "", importance=3),
        Column("ADDRESS", lambda s: s.address, importance=7),
    )
    tables.show(columns, services, "no services")
    total = sum(service.resident or 0 for service in services)
    terminal.say(("\nmemory     ", "bold"), f"{words.size(total)} in {words.count(len(services), 'service')}")
    terminal.say(("instances  ", "bold"), _counted(counts))
    terminal.say(("data       ", "bold"), str(session.data_dir))
    terminal.say(("supervisor ", "bold"), f"process {holder.get('pid')}")


def _counted(counts: dict[str, int] | None) -> str:
    if counts is None:
        return "not known: api_svc does not answer"
    parts = ", ".join(f"{number} {word}" for word, number in sorted(counts.items()))
    return f"{sum(counts.values())} ({parts})" if parts else "none"


def _show_json(
    session: Session, holder: Mapping[str, Any], services: list[_Service], counts: dict[str, int] | None
) -> None:
    entries = {s.name: {**vars(s), "resident_bytes": s.resident} for s in services}
    for entry in entries.values():
        del entry["name"], entry["resident"]
    record = {"running": True, "pid": holder.get("pid"), "data_dir": str(session.data_dir)}
    messages.show_json({**record, "services": entries, "instances": counts})


def _stop(pid: int, drain_seconds: float, *, force: bool) -> bool:
    """Tell the supervisor to stop and wait for it; whether it has."""
    try:
        os.kill(pid, signal.SIGTERM)
        if force:
            # Two signals in one instant are one to the kernel.
            linux.wait_for_end(pid, 0.3)
            os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        return True
    except PermissionError:
        raise PermissionDenied(f"process {pid} is somebody else's; stop it as that user, or as root") from None
    return linux.wait_for_end(pid, 3 * drain_seconds + _MARGIN_SECONDS)


def _say(session: Session, record: Mapping[str, Any], line: str) -> None:
    if session.as_json:
        messages.show_json(record)
    else:
        terminal.say(line)
