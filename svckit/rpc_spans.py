"""Names of what a span and a metric say about a call.

OpenTelemetry renamed these several times on the way to stable; the new and the one old name that backends still query
are both written, and this is the only place that knows them.
"""

from __future__ import annotations

import grpc
from opentelemetry import metrics
from opentelemetry.trace import Span, Status, StatusCode
from opentelemetry.util.types import AttributeValue

_METER = metrics.get_meter("protostar")
SERVER_DURATION = _METER.create_histogram("rpc.server.call.duration", unit="s", description="Calls answered.")
CLIENT_DURATION = _METER.create_histogram("rpc.client.call.duration", unit="s", description="Calls made.")

# Only these paint a server span red: a refusal is not the server's failure (semantic conventions for gRPC).
_SERVER_FAULTS = frozenset({"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"})


def attributes(method: str) -> dict[str, AttributeValue]:
    """What is known when a call begins; `method` is "/package.Service/Method"."""
    full = method.lstrip("/")
    return {"rpc.system": "grpc", "rpc.system.name": "grpc", "rpc.service": full.partition("/")[0], "rpc.method": full}


def set_outcome(span: Span, code: grpc.StatusCode, message: str, *, server: bool) -> None:
    """What is known when it ends."""
    span.set_attribute("rpc.response.status_code", code.name)
    span.set_attribute("rpc.grpc.status_code", code.value[0])
    if code is grpc.StatusCode.OK:
        return
    span.set_attribute("error.type", code.name)
    if not server or code.name in _SERVER_FAULTS:
        span.set_status(Status(StatusCode.ERROR, message))
