"""What becomes of an accepted operation: followed to its end, or left alone with a word on how to follow it."""

from __future__ import annotations

import asyncio

from google.longrunning.operations_pb2 import Operation

from cli.client.api import Api
from cli.client.follow import follow
from cli.failure import CommandFailed
from cli.present import errors, hints, messages, outcomes, steps, terminal, words
from cli.session import Session
from svckit.errors import ProtostarError


async def conclude(
    api: Api, session: Session, operation: Operation, *, headline: str, called: str, wait: bool = True
) -> None:
    """Follow an operation, showing its steps, and say how it ended. `called` is its target as the user knows it.

    :raise CommandFailed: it did not succeed.
    """
    if operation.done and outcomes.metadata_of(operation).validate_only:
        _show_plan(operation, headline, quiet=session.as_json)
    elif wait:
        operation = await _watch(api, operation, headline, quiet=session.as_json)
    if session.as_json:
        messages.show(operation)
    else:
        _say(operation, called)
    if operation.HasField("error"):
        raise CommandFailed(operation.error.message)


async def _watch(api: Api, operation: Operation, headline: str, *, quiet: bool) -> Operation:
    try:
        with steps.progress(headline, quiet=quiet) as shown:
            async for changed in follow(api, operation):
                operation = changed
                shown.show(operation)
    except (asyncio.CancelledError, ProtostarError):
        terminal.note(("Left running: ", "busy"), ("protostar operation wait ", "command"), (operation.name, "command"))
        raise
    return operation


def _show_plan(operation: Operation, headline: str, *, quiet: bool) -> None:
    if not quiet:
        with steps.PlainSteps(headline) as shown:
            shown.show(operation)


def _say(operation: Operation, called: str) -> None:
    if operation.HasField("error"):
        _show_failure(operation, called)
    elif operation.done:
        terminal.say(("✓ ", "good"), outcomes.success(operation, called))
    else:
        terminal.say(operation.name)
        follow_it = (f"protostar operation wait {operation.name}", "command")
        terminal.note((f"accepted for {outcomes.metadata_of(operation).target}; ", "quiet"), follow_it)


def _show_failure(operation: Operation, called: str) -> None:
    failed = outcomes.failure(operation)
    error = failed.error
    verb = words.enum(outcomes.metadata_of(operation), "verb").lower().replace("_", " ")
    place = f" at step {failed.step}" if failed.step else ""
    terminal.note(("✗ ", "bad"), f"{verb} {called} failed{place} after {words.duration(failed.took)}")
    errors.show_line(f"{error.reason}: {error.message}", hints.hint(error.reason, error.metadata, {"instance": called}))
    trace = (f"protostar trace {operation.name}", "command")
    terminal.note(("  → ", "quiet"), trace, "   shows every step")
