"""A span as a value, read from OTLP-JSON. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

SERVER = 2
CLIENT = 3
_ERROR = 2


@dataclass(frozen=True, kw_only=True)
class Span:
    """One span. Times are nanoseconds since the epoch."""

    trace_id: str
    span_id: str
    parent_id: str = ""
    service: str = ""
    name: str = ""
    kind: int = 1
    start: int = 0
    end: int = 0
    failed: bool = False
    message: str = ""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    links: Sequence[str] = ()

    @property
    def seconds(self) -> float:
        """How long it took; never negative, whatever the clock did."""
        return max(0, self.end - self.start) / 1e9

    def as_json(self) -> dict[str, Any]:
        """What a program wants to know of it."""
        return {
            "trace_id": self.trace_id,
            "span_id": self.span_id,
            "parent_span_id": self.parent_id,
            "service": self.service,
            "name": self.name,
            "kind": self.kind,
            "start_time_unix_nano": str(self.start),
            "end_time_unix_nano": str(self.end),
            "duration_s": self.seconds,
            "failed": self.failed,
            "message": self.message,
            "attributes": dict(self.attributes),
            "links": list(self.links),
        }


def read(line: str | bytes) -> Iterator[Span]:
    """The spans in a line; none when it is not a whole line of OTLP-JSON."""
    try:
        content = json.loads(line)
    except ValueError:
        return
    for resource in _dicts(content, "resourceSpans"):
        service = str(_flat(resource.get("resource", {})).get("service.name", ""))
        for scope in _dicts(resource, "scopeSpans"):
            for entry in _dicts(scope, "spans"):
                if entry.get("traceId") and entry.get("spanId"):
                    yield _span(entry, service)


def _span(entry: Mapping[str, Any], service: str) -> Span:
    status = entry.get("status")
    status = status if isinstance(status, dict) else {}
    start, attributes = _number(entry.get("startTimeUnixNano")), _flat(entry)
    return Span(
        trace_id=str(entry["traceId"]).lower(),
        span_id=str(entry["spanId"]).lower(),
        parent_id=str(entry.get("parentSpanId", "")).lower(),
        service=service,
        name=str(entry.get("name", "")),
        kind=_number(entry.get("kind")),
        start=start,
        end=_number(entry.get("endTimeUnixNano")) or start,
        failed=status.get("code") in (_ERROR, "STATUS_CODE_ERROR") and not _was_left(attributes),
        message=str(status.get("message", "")),
        attributes=attributes,
        links=tuple(str(link.get("traceId", "")).lower() for link in _dicts(entry, "links")),
    )


def _was_left(attributes: Mapping[str, Any]) -> bool:
    """A call whose caller had heard enough: an error to the semantic conventions, nothing wrong to a reader."""
    return attributes.get("rpc.response.status_code") == "CANCELLED"


def _dicts(holder: Any, key: str) -> Iterator[dict[str, Any]]:
    entries = holder.get(key) if isinstance(holder, dict) else None
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, dict):
            yield entry


def _flat(holder: Mapping[str, Any]) -> dict[str, Any]:
    return {str(entry.get("key")): _value(entry.get("value")) for entry in _dicts(holder, "attributes")}


def _value(value: Any) -> Any:
    if not isinstance(value, dict) or not value:
        return None
    kind, content = next(iter(value.items()))
    return _number(content) if kind == "intValue" else content


def _number(value: Any) -> int:
    """OTLP-JSON has 64-bit numbers as strings."""
    try:
        return int(value)
    except (TypeError, ValueError):
        return 0
