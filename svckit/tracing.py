"""OpenTelemetry: where spans go, and the few words that the rest of the code needs to make them."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TextIO, cast

from opentelemetry import context as otel_context
from opentelemetry import metrics, trace
from opentelemetry.propagate import extract, inject
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode
from opentelemetry.util.types import AttributeValue

from svckit.errors import ProtostarError

_TRACER = trace.get_tracer("protostar")
_FILE_LIMIT = 64 * 1024**2


def configure(service: str, traces_dir: Path) -> None:
    """Send spans where OTEL_* says; when it says nothing, to OTLP-JSON lines in `traces_dir`/<service>.jsonl."""
    if os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return
    resource = Resource.create({"service.name": service, "service.namespace": "protostar"})
    provider = TracerProvider(resource=resource)
    exporter = _span_exporter(service, traces_dir)
    if exporter is not None:
        provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=200))
    trace.set_tracer_provider(provider)
    _configure_metrics(resource)


def flush() -> None:
    """Send what is still in memory, and stop. Blocks; the last thing a process does."""
    for provider in (trace.get_tracer_provider(), metrics.get_meter_provider()):
        if isinstance(provider, TracerProvider | MeterProvider):
            provider.shutdown()


@contextlib.contextmanager
def span(
    name: str,
    attributes: Mapping[str, AttributeValue] | None = None,
    *,
    kind: SpanKind = SpanKind.INTERNAL,
    parent: otel_context.Context | None = None,
    links: Sequence[Link] = (),
) -> Iterator[Span]:
    """A span around a block; an exception marks it failed, with the error's reason as `error.type`."""
    with _TRACER.start_as_current_span(
        name,
        context=parent,
        kind=kind,
        links=links,
        attributes=attributes,
        record_exception=False,
        set_status_on_exception=False,
    ) as current:
        try:
            yield current
        except BaseException as error:
            fail(current, error)
            raise


def fail(current: Span, error: BaseException) -> None:
    """Mark a span as failed."""
    reason = error.reason if isinstance(error, ProtostarError) else type(error).__name__
    current.set_attribute("error.type", reason)
    current.set_status(Status(StatusCode.ERROR, str(error)))


def current_trace_id() -> str:
    """32 hex digits, or "" outside a trace."""
    context = trace.get_current_span().get_span_context()
    return f"{context.trace_id:032x}" if context.is_valid else ""


def carrier() -> dict[str, str]:
    """The current context as W3C headers, to be sent or stored."""
    headers: dict[str, str] = {}
    inject(headers)
    return headers


def context_from(headers: Mapping[str, str]) -> otel_context.Context:
    """The context that W3C headers tell of."""
    return extract(headers)


def link_to(headers: Mapping[str, str]) -> list[Link]:
    """A link to the span in stored W3C headers, for later attempts; none if there is none."""
    context = trace.get_current_span(extract(headers)).get_span_context()
    return [Link(context)] if context.is_valid else []


class RotatingLines:
    """A text stream of lines that starts a new file past a size and keeps one old one (<name>.1)."""

    def __init__(self, path: Path, limit: int = _FILE_LIMIT) -> None:
        self._path = path
        self._limit = limit
        self._lock = threading.Lock()
        self._file: TextIO = path.open("a", encoding="utf-8")
        self.closed = False

    def write(self, text: str) -> int:
        with self._lock:
            if self._file.tell() > self._limit:
                self._file.close()
                self._path.replace(self._path.with_name(self._path.name + ".1"))
                self._file = self._path.open("a", encoding="utf-8")
            return self._file.write(text)

    def flush(self) -> None:
        self._file.flush()


def _span_exporter(service: str, traces_dir: Path) -> SpanExporter | None:
    wanted = os.environ.get("OTEL_TRACES_EXPORTER", "")
    endpoint = any(os.environ.get(f"OTEL_EXPORTER_OTLP_{kind}ENDPOINT") for kind in ("", "TRACES_"))
    if wanted == "none":
        return None
    if wanted in ("otlp",) or endpoint:
        # Imported here: it brings protobuf encoders that an embedded process never needs in memory.
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

        return OTLPSpanExporter()
    from opentelemetry.exporter.otlp.json.file import FileSpanExporter

    traces_dir.mkdir(parents=True, exist_ok=True)
    stream = cast(TextIO, RotatingLines(traces_dir / f"{service}.jsonl"))  # the exporter writes, flushes and closes
    return FileSpanExporter(stream=stream)


def _configure_metrics(resource: Resource) -> None:
    endpoint = any(os.environ.get(f"OTEL_EXPORTER_OTLP_{kind}ENDPOINT") for kind in ("", "METRICS_"))
    if os.environ.get("OTEL_METRICS_EXPORTER", "") == "none" or not endpoint:
        return
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter

    reader = PeriodicExportingMetricReader(OTLPMetricExporter())
    metrics.set_meter_provider(MeterProvider(resource=resource, metric_readers=[reader]))
