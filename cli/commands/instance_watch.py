"""protostar instance console, protostar instance watch"""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated

import typer
from protostar.api.v1 import instance_pb2, instance_service_pb2
from rich.text import Text

from cli.client import resolve
from cli.client.api import Api
from cli.commands.arguments import InstanceArgument, complete_instance
from cli.present import consoles, instances, messages, terminal, words
from cli.session import Session
from svckit.errors import Cancelled, Unavailable

_POLL_SECONDS = 0.5
_WINDOW_BYTES = 64 * 1024
_PATIENCE = 120


async def console(
    session: Session,
    api: Api,
    instance: InstanceArgument,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as the guest writes.")] = False,
    size: Annotated[
        int, typer.Option("--bytes", min=1, max=1 << 20, help="At most so much from the end.")
    ] = _WINDOW_BYTES,
) -> None:
    """What the guest wrote to its serial console, kept across starts."""
    name = await resolve.name_of(api, resolve.INSTANCE, instance)
    answer = await _output(api, name, size)
    if session.as_json:
        messages.show(answer)
        return
    _write(answer.output)
    seen = answer.output
    while follow:
        await asyncio.sleep(_POLL_SECONDS)
        current = await _patiently(api, name)
        _write(consoles.unseen(seen, current))
        seen = current


async def watch(
    session: Session,
    api: Api,
    instance: Annotated[
        str | None,
        typer.Argument(help="Only this one.", autocompletion=complete_instance, show_default=False),
    ] = None,
    cursor: Annotated[
        str, typer.Option(help="Go on after this event; `now` for what happens from now on.", show_default=False)
    ] = "",
) -> None:
    """What happens to instances, as it happens; a snapshot comes first. Ctrl-C ends it."""
    only = await resolve.name_of(api, resolve.INSTANCE, instance) if instance else ""
    away = 0
    while away < _PATIENCE:
        request = instance_service_pb2.WatchInstancesRequest(cursor=cursor, instance=only)
        try:
            async for event in api.stream(api.instances.WatchInstances, request):
                cursor, away = event.cursor or cursor, 0
                _show_event(session, event)
        except (Unavailable, Cancelled):
            if not cursor:
                raise
            away += 1
        await asyncio.sleep(_POLL_SECONDS)
    raise Unavailable(f"the API did not come back; `protostar instance watch --cursor {cursor}` goes on from here")


def _show_event(session: Session, event: instance_service_pb2.InstanceEvent) -> None:
    if session.as_json:
        messages.show(event, indent=None)
    elif event.type != "bookmark":
        terminal.say(_event_line(event))


def _event_line(event: instance_service_pb2.InstanceEvent) -> Text:
    style = (
        "bad" if event.type.endswith(".error") else "quiet" if event.type.endswith((".start", ".snapshot")) else "good"
    )
    line = terminal.styled(
        (words.moment(event.time).removesuffix(" UTC"), "quiet"),
        f"  {event.instance.display_name:<20} ",
        (f"{event.type:<26} ", style),
        instances.state_of(event.instance) if event.HasField("instance") else _gone(),
    )
    power = words.enum(event.instance, "power_state")
    line.append(f"  power {power}" if power else "", style="quiet")
    return line.append_text(terminal.styled((f"  {event.error.message}", "bad")))


def _gone() -> Text:
    return terminal.styled(words.enum(instance_pb2.Instance(vm_state=instance_pb2.VM_STATE_DELETED), "vm_state"))


async def _output(api: Api, name: str, size: int) -> instance_service_pb2.GetConsoleOutputResponse:
    request = instance_service_pb2.GetConsoleOutputRequest(name=name, max_bytes=size)
    return await api.call(api.instances.GetConsoleOutput, request)


async def _patiently(api: Api, name: str) -> str:
    """The console's end; a service that is being restarted is waited for."""
    for _ in range(_PATIENCE):
        try:
            return (await _output(api, name, 1 << 20)).output
        except Unavailable:
            await asyncio.sleep(_POLL_SECONDS)
    return (await _output(api, name, 1 << 20)).output


def _write(text: str) -> None:
    """Print guest output: unchanged for a program, harmless for a terminal."""
    if sys.stdout.isatty():
        text = words.printable(text)
    sys.stdout.write(text)
    sys.stdout.flush()
