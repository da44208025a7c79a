"""protostar operation …"""

from __future__ import annotations

import asyncio
import time
from typing import Annotated

import typer
from google.longrunning import operations_pb2
from protostar.api.v1 import operation_pb2

from cli.client import resolve
from cli.client.api import Api
from cli.command import command
from cli.commands.arguments import Filter, OperationArgument
from cli.commands.conclude import conclude
from cli.failure import CommandFailed
from cli.present import errors, messages, outcomes, steps, tables, terminal, words
from cli.present.tables import Cell, Column, state
from cli.session import Session

app = typer.Typer(no_args_is_help=True, help="Operations: what was asked for, and what became of it.")


@command(app, "list")
async def list_(
    session: Session,
    api: Api,
    filter_: Filter = "",
    limit: Annotated[int, typer.Option(min=0, help="The newest so many; 0 for all.")] = 50,
) -> None:
    """The operations you may see, newest first. Filter fields: verb, target, state, done."""
    request = operations_pb2.ListOperationsRequest(name="operations", filter=filter_)
    answer = await api.every(api.operations.ListOperations, request)
    newest = list(reversed(answer.operations))[: limit or None]
    del answer.operations[:]
    answer.operations.extend(newest)
    if session.as_json:
        messages.show(answer)
        return
    rows = [(operation, outcomes.metadata_of(operation)) for operation in answer.operations]
    columns = (
        Column("VERB", lambda row: words.enum(row[1], "verb").lower()),
        Column("STATE", lambda row: state(words.enum(row[1], "state")), importance=8),
        Column("TARGET", lambda row: row[1].target, importance=5),
        Column("TOOK", lambda row: _took(row[1]), importance=3, right=True),
        Column("AGE", lambda row: words.age(row[1].create_time, time.time()), importance=2),
        Column("WHY", lambda row: outcomes.reason(row[0]), importance=4),
        Column("OPERATION", lambda row: words.uid(row[0].name), importance=9),
    )
    tables.show(columns, rows, "no operations")


@command(app, "show")
async def show(session: Session, api: Api, operation: OperationArgument) -> None:
    """Where an operation is, step by step, and why it is waiting."""
    found = await _get(api, operation)
    if session.as_json:
        messages.show(found)
        return
    metadata = outcomes.metadata_of(found)
    tables.show_fields(_fields(found, metadata))
    for step in metadata.steps:
        terminal.say("  ", steps.step_line(step))


@command(app, "wait")
async def wait(
    session: Session,
    api: Api,
    operation: OperationArgument,
    seconds: Annotated[
        float | None,
        typer.Option("--timeout", metavar="SECONDS", min=0, help="Give up waiting after this.", show_default=False),
    ] = None,
) -> None:
    """Follow an operation to its end; 1 when it fails."""
    found = await _get(api, operation)
    metadata = outcomes.metadata_of(found)
    verb = words.enum(metadata, "verb").lower().replace("_", " ")
    try:
        async with asyncio.timeout(seconds):
            await conclude(api, session, found, headline=f"{verb} {metadata.target}", called=metadata.target)
    except TimeoutError:
        errors.show_line(f"not done after {words.duration(seconds or 0)}")
        raise CommandFailed("not done in time") from None


@command(app, "cancel")
async def cancel(session: Session, api: Api, operation: OperationArgument) -> None:
    """Ask for an operation to stop; whether it came in time, its result says."""
    name = resolve.operation_name(operation)
    await api.call(api.operations.CancelOperation, operations_pb2.CancelOperationRequest(name=name))
    found = await _get(api, operation)
    if session.as_json:
        messages.show(found)
    elif found.done:
        terminal.say(words.enum(outcomes.metadata_of(found), "state"), f"  {found.error.message}")
    else:
        terminal.say("cancellation was asked for")
        terminal.note(("protostar operation wait ", "command"), (name, "command"), "   tells whether it came in time")


async def _get(api: Api, text: str) -> operations_pb2.Operation:
    request = operations_pb2.GetOperationRequest(name=resolve.operation_name(text))
    return await api.call(api.operations.GetOperation, request)


def _took(metadata: operation_pb2.OperationMetadata) -> str:
    return words.duration(outcomes.took(metadata)) if metadata.HasField("end_time") else ""


def _fields(
    operation: operations_pb2.Operation, metadata: operation_pb2.OperationMetadata
) -> tuple[tuple[str, Cell], ...]:
    failed = outcomes.failure(operation).error if operation.HasField("error") else None
    return (
        ("operation", operation.name),
        ("verb", words.enum(metadata, "verb").lower()),
        ("target", metadata.target),
        ("state", state(words.enum(metadata, "state"))),
        ("waiting", steps.waiting_line(metadata) if metadata.waiting_for else ""),
        ("error", terminal.styled((f"{failed.reason}: {failed.message}", "bad")) if failed else ""),
        ("asked by", " in ".join(filter(None, (metadata.actor, metadata.project)))),
        ("accepted", words.moment(metadata.create_time)),
        ("took", _took(metadata)),
        ("deadline", "" if operation.done else words.moment(metadata.deadline)),
        ("attempt", str(metadata.attempt) if metadata.attempt > 1 else ""),
        ("no-op", "nothing had to be done" if metadata.no_op else ""),
        ("cancel", "was asked for" if metadata.cancel_requested else ""),
        ("trace", metadata.trace_id),
        ("steps", f"{len(metadata.steps)}" if metadata.steps else ""),
    )
