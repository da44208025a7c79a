"""What went wrong: one clear line, what to do, and where to look further. Always on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping

from google.rpc import status_pb2

from cli.present import hints, messages, terminal
from cli.session import Session
from cli.supervisor import lock
from svckit import status
from svckit.errors import Internal, ProtostarError, Unavailable


def show(error: ProtostarError, session: Session, called: Mapping[str, str]) -> None:
    """Print an error: a line and a hint, or one line of JSON when answers are JSON.

    `called` is what the user named, by kind.
    """
    if session.as_json:
        print(json.dumps({"error": messages.as_json(_status(error))}), file=sys.stderr, flush=True)
        return
    if is_away(error):
        _show_away(session)
        return
    show_line(error.message, hints.hint(error.reason, error.metadata, called), *_violations(error))
    if isinstance(error, Internal):
        terminal.note(("  the services' logs are in ", "quiet"), str(session.data_dir / "logs"))


def show_line(message: str, hint: str = "", *more: str) -> None:
    """Print what went wrong and what to do about it."""
    terminal.note(("error: ", "bad"), message)
    for line in more:
        terminal.note("  ", line)
    if hint:
        terminal.note(("  → ", "quiet"), hint)


def show_bug(error: Exception) -> None:
    """Print that the command itself failed."""
    show_line(
        f"this command has a bug: {type(error).__name__}: {error}",
        "PROTOSTAR_DEBUG=1 in the environment shows where; please report it",
    )


def is_away(error: ProtostarError) -> bool:
    """Whether nobody answered at all, as opposed to a server that answers that it cannot."""
    return isinstance(error, Unavailable) and error.reason == Unavailable.default_reason


def _show_away(session: Session) -> None:
    holder = lock.holder(session.data_dir)
    ours = (holder or {}).get("addresses", {}).get("api_svc")
    if holder is None:
        show_line(f"nobody answers at {session.api_address}", "protostar up   starts Protostar on this machine")
    elif ours and ours != session.api_address:
        show_line(f"nobody answers at {session.api_address}", f"the API of {session.data_dir} is at {ours}")
    else:
        show_line(f"api_svc does not answer at {session.api_address}", "protostar status   tells how it is")


def _violations(error: ProtostarError) -> list[str]:
    """Bad fields that the message does not name already."""
    return [f"{v.field}: {v.description}" for v in error.violations if v.description not in error.message]


def _status(error: ProtostarError) -> status_pb2.Status:
    return status.to_status(error)
