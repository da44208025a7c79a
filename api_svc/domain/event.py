"""What happened to an instance, and where a reader of it all stands."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from datetime import datetime

from api_svc.domain.failure import Failure
from api_svc.domain.instance import Instance
from api_svc.domain.operation import Operation
from api_svc.domain.states import Verb
from svckit.errors import InvalidArgument

SNAPSHOT = "instance.snapshot"
BOOKMARK = "bookmark"
UPDATED = "instance.update"
POWER_STATE = "instance.power_state"

_NAMES = {
    Verb.CREATE: "create",
    Verb.DELETE: "delete",
    Verb.START: "power_on",
    Verb.STOP: "power_off",
    Verb.REBOOT: "reboot",
    Verb.LOCK: "lock",
    Verb.UNLOCK: "unlock",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """Something that happened; `seq` is its place in commit order, 0 while it has none."""

    type: str
    time: datetime
    instance: Instance | None = None
    operation: str = ""
    error: Failure | None = None
    trace_id: str = ""
    seq: int = 0


def of_operation(operation: Operation, instance: Instance, phase: str, at: datetime) -> Event:
    """ "instance.<verb>.<phase>" of an operation; phase is start, end or error."""
    return Event(
        type=f"instance.{_NAMES[operation.verb]}.{phase}",
        time=at,
        instance=instance,
        operation=operation.name,
        error=operation.error,
        trace_id=operation.trace_id,
    )


def of_verb(verb: Verb, instance: Instance, at: datetime, trace_id: str) -> Event:
    """The event of a change that is done at once."""
    kind = UPDATED if verb is Verb.UPDATE else f"instance.{_NAMES[verb]}.end"
    return Event(type=kind, time=at, instance=instance, trace_id=trace_id)


def encode_cursor(seq: int) -> str:
    """A place in the stream, opaque to its reader."""
    return base64.urlsafe_b64encode(f"e1:{seq}".encode()).decode()


def decode_cursor(cursor: str) -> int:
    """The place that a cursor means.

    :raise InvalidArgument: it is not a cursor of ours.
    """
    try:
        kind, _, seq = base64.urlsafe_b64decode(cursor.encode()).decode().partition(":")
        if kind == "e1" and seq.isdecimal():
            return int(seq)
    except (ValueError, binascii.Error):
        pass
    raise InvalidArgument.field("cursor", 'is not a cursor that this server made; use "" for a snapshot')
