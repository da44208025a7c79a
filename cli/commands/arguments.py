"""Parameters that several commands share, and how the shell completes them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from google.protobuf.timestamp_pb2 import Timestamp

from cli.client import resolve
from cli.client.api import connected
from cli.command import session_of

_COMPLETION_SECONDS = 0.8
_COMPLETIONS = 100


def _names_of(kind: resolve.Kind) -> Callable[[typer.Context, str], list[str]]:
    """Completes display names; silent when nobody answers quickly."""

    def complete(context: typer.Context, incomplete: str) -> list[str]:
        with contextlib.suppress(Exception):
            return asyncio.run(_known(context, kind, incomplete))
        return []

    return complete


async def _known(context: typer.Context, kind: resolve.Kind, incomplete: str) -> list[str]:
    session = session_of(context, {**context.find_root().params, **{k: v for k, v in context.params.items() if v}})
    async with asyncio.timeout(_COMPLETION_SECONDS), connected(session) as api:
        listed = await resolve.entries(api, kind, kind.request(), 1000)
    known = {entry.display_name for entry in listed if entry.display_name.startswith(incomplete)}
    return sorted(known)[:_COMPLETIONS]


def _reference(kind: resolve.Kind) -> typer.models.ArgumentInfo:
    metavar = kind.noun.upper()
    help_ = f"The {kind.noun}'s name or id."
    argument: typer.models.ArgumentInfo = typer.Argument(
        metavar=metavar, help=help_, autocompletion=_names_of(kind), show_default=False
    )
    return argument


complete_instance = _names_of(resolve.INSTANCE)
complete_image = _names_of(resolve.IMAGE)
complete_network = _names_of(resolve.NETWORK)
complete_volume = _names_of(resolve.VOLUME)

InstanceArgument = Annotated[str, _reference(resolve.INSTANCE)]
ImageArgument = Annotated[str, _reference(resolve.IMAGE)]
NetworkArgument = Annotated[str, _reference(resolve.NETWORK)]
PortArgument = Annotated[str, _reference(resolve.PORT)]
VolumeArgument = Annotated[str, _reference(resolve.VOLUME)]
OperationArgument = Annotated[
    str, typer.Argument(metavar="OPERATION", help="The operation, operations/<uuid> or its id.", show_default=False)
]
NewName = Annotated[str, typer.Argument(metavar="NAME", help="What it will be called.", show_default=False)]
Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Follow it to its end.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check everything, show the steps, change nothing.")]
Deadline = Annotated[
    float | None,
    typer.Option("--deadline", metavar="SECONDS", min=1, help="It ends by then, whatever happens.", show_default=False),
]
Filter = Annotated[
    str, typer.Option("--filter", metavar="TERMS", help='FIELD = "VALUE" or !=, joined by AND.', show_default=False)
]
Limit = Annotated[int, typer.Option("--limit", min=0, help="At most this many; 0 for all.")]


def pairs(values: Sequence[str], option: str) -> dict[str, str]:
    """KEY=VALUE, several times, as a mapping.

    :raise typer.BadParameter: one has no "=".
    """
    for value in values:
        if not value.partition("=")[1] or value.startswith("="):
            raise typer.BadParameter(f"expected KEY=VALUE, got {value!r}", param_hint=option)
    return dict(value.split("=", 1) for value in values)


def deadline(seconds: float | None) -> Timestamp | None:
    """So many seconds from now; None for the server's own."""
    if seconds is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(datetime.now(UTC) + timedelta(seconds=seconds))
    return stamp
