"""protostar trace"""

from __future__ import annotations

import asyncio
import re
import shutil
import time
from dataclasses import dataclass
from typing import Annotated

import typer
from google.longrunning.operations_pb2 import GetOperationRequest, Operation
from rich.console import Console

from cli.client import resolve
from cli.client.api import Api, connected
from cli.failure import CommandFailed
from cli.present import errors, messages, outcomes, terminal, words
from cli.session import Session
from cli.traces import draw, files, fold, layout, tree
from cli.traces.spans import Span
from svckit.errors import NotFound, ProtostarError, Unavailable

_TRACE_ID = re.compile(r"[0-9a-fA-F]{32}")
# Services write their spans five times a second.
_WRITTEN_SECONDS = 0.5
_PATIENCE_SECONDS = 2.0
_PLAIN_WIDTH = 120


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """Which trace, and the operation that it was asked for by, if it was."""

    trace_id: str
    operation: Operation | None = None


def trace(
    session: Session,
    operation: Annotated[
        str, typer.Argument(metavar="OPERATION", help="An operation's name or id, or a trace id.", show_default=False)
    ],
    all_: Annotated[bool, typer.Option("--all", help="Also both ends of calls, and reads of the databases.")] = False,
) -> None:
    """Draw an operation's trace over all services as a waterfall."""
    asked = asyncio.run(_ask(session, operation))
    spans = asyncio.run(_spans(session, asked))
    if not spans:
        _show_nothing(session, asked)
        raise CommandFailed("no spans")
    if session.as_json:
        _show_json(asked, spans)
    else:
        _show(asked, spans, all_=all_)


async def _ask(session: Session, text: str) -> _Asked:
    """What was meant. A trace id needs no service; an operation is looked up, in the files when nobody answers."""
    if _TRACE_ID.fullmatch(text):
        return _Asked(trace_id=text.lower())
    name = resolve.operation_name(text)
    try:
        async with connected(session) as api:
            return _of(await _get(api, name))
    except ProtostarError as error:
        trace_id = await asyncio.to_thread(files.trace_of_operation, session.traces_dir, name)
        if not trace_id or not isinstance(error, Unavailable | NotFound):
            raise
        return _Asked(trace_id=trace_id)


async def _get(api: Api, name: str) -> Operation:
    return await api.call(api.operations.GetOperation, GetOperationRequest(name=name))


def _of(operation: Operation) -> _Asked:
    return _Asked(trace_id=outcomes.metadata_of(operation).trace_id, operation=operation)


async def _spans(session: Session, asked: _Asked) -> list[Span]:
    """The spans; those of an operation that has just ended are waited for until they are written."""
    await asyncio.sleep(_still_to_wait(asked.operation))
    until = time.monotonic() + _PATIENCE_SECONDS
    while True:
        spans = await asyncio.to_thread(files.spans_of, session.traces_dir, asked.trace_id)
        if spans or time.monotonic() > until or not session.traces_dir.is_dir():
            return spans
        await asyncio.sleep(0.2)


def _still_to_wait(operation: Operation | None) -> float:
    if operation is None or not operation.done:
        return 0.0
    ended = words.seconds_of(outcomes.metadata_of(operation).end_time)
    return min(max(0.0, ended + _WRITTEN_SECONDS - time.time()), _WRITTEN_SECONDS)


def _show(asked: _Asked, spans: list[Span], *, all_: bool) -> None:
    roots = tree.build(spans, asked.trace_id)
    console = _console()
    drawn = layout.lay_out(roots if all_ else fold.fold(roots), console.width)
    _head(asked, spans)
    draw.draw(drawn, console)
    _foot(asked, spans, drawn, all_=all_)


def _console() -> Console:
    console = terminal.out()
    if not console.is_terminal:
        console.width = shutil.get_terminal_size((_PLAIN_WIDTH, 0)).columns  # COLUMNS, if somebody says so
    return console


def _head(asked: _Asked, spans: list[Span]) -> None:
    if asked.operation is not None:
        metadata = outcomes.metadata_of(asked.operation)
        verb = words.enum(metadata, "verb").lower().replace("_", " ")
        state = words.enum(metadata, "state")
        terminal.say(
            (f"{verb} {metadata.target}  ", "bold"), (state, "bad" if asked.operation.HasField("error") else "good")
        )
        terminal.say((asked.operation.name, "quiet"))
    terminal.say((f"trace {asked.trace_id}, {words.count(len(spans), 'span')}\n", "quiet"))


def _foot(asked: _Asked, spans: list[Span], drawn: layout.Waterfall, *, all_: bool) -> None:
    terminal.say(("\ntotal ", "bold"), words.duration(drawn.seconds))
    hidden = len(spans) - len(drawn.rows)
    if hidden > 0 and not all_:
        terminal.note((f"{words.count(hidden, 'span')} folded away; --all shows them", "quiet"))
    shifted = {span.service for span in spans} & _shifted(spans, asked.trace_id)
    if shifted:
        terminal.note((f"the clock of {', '.join(sorted(shifted))} was wrong and is put right here", "busy"))
    if asked.operation is not None and not asked.operation.done:
        terminal.note(("the operation is still running; what has not ended is not there yet", "busy"))


def _shifted(spans: list[Span], trace_id: str) -> set[str]:
    nodes = (node for root in tree.build(spans, trace_id) for _, node in root.walk())
    return {node.span.service for node in nodes if "protostar.clock_offset_ns" in node.span.attributes}


def _show_json(asked: _Asked, spans: list[Span]) -> None:
    roots = tree.build(spans, asked.trace_id)
    ordered = [{**node.span.as_json(), "depth": depth} for root in roots for depth, node in root.walk()]
    operation = messages.as_json(asked.operation) if asked.operation is not None else None
    messages.show_json({"trace_id": asked.trace_id, "operation": operation, "spans": ordered})


def _show_nothing(session: Session, asked: _Asked) -> None:
    hint = "with a collector (OTEL_*), look there; the files are those of the machine that runs the services"
    errors.show_line(f"no spans of trace {asked.trace_id or '?'} in {session.traces_dir}", hint)
