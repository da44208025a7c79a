"""Events as CloudEvents 1.0, one JSON object a line, to a file or to standard output.

Every event at least once: where it stands is written after the line. After a crash a line may come again; its `id` is
the same then: the event's cursor.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from google.protobuf.json_format import MessageToDict

from api_svc.domain.event import Event
from api_svc.translate import resources
from svckit import files

STDOUT = "-"


class CloudEventsSink:
    """See `ports.EventSink`. `target` is a path, opened anew for every line so that it may be rotated, or "-"."""

    def __init__(self, target: str, cursor_file: Path) -> None:
        self._target = target
        self._cursor_file = cursor_file

    async def last(self) -> str:
        return await asyncio.to_thread(self._read_cursor)

    async def write(self, cursor: str, event: Event) -> None:
        line = json.dumps(_cloud_event(cursor, event), separators=(",", ":"))
        await asyncio.to_thread(self._append, line, cursor)

    def _read_cursor(self) -> str:
        return self._cursor_file.read_text().strip() if self._cursor_file.exists() else ""

    def _append(self, line: str, cursor: str) -> None:
        if self._target == STDOUT:
            print(line, flush=True, file=sys.stdout)
        else:
            with Path(self._target).open("a", encoding="utf-8") as file:
                file.write(line + "\n")
        files.write_atomically(self._cursor_file, cursor.encode(), durable=False)


def _cloud_event(cursor: str, event: Event) -> dict[str, Any]:
    told = MessageToDict(resources.event_to_wire(cursor, event))
    return {
        "specversion": "1.0",
        "id": cursor,
        "source": "/protostar/api_svc",
        "type": event.type,
        "subject": event.instance.name if event.instance else "",
        "time": told["time"],
        "datacontenttype": "application/json",
        "data": {key: told[key] for key in ("instance", "operation", "error", "traceId") if key in told},
    }
