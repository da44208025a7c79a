"""The client's side of every call: a channel whose calls make spans, carry the trace and fail in our vocabulary."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc
from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind

from svckit import rpc_spans, status, tracing

_OPTIONS = (
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    # Channels to different services must not share one connection's state with another process-wide channel.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_retries", 0),
)


def connect(address: str) -> grpc.aio.Channel:
    """A channel to a service. It reconnects by itself; nothing is sent before the first call."""
    interceptors: list[grpc.aio.ClientInterceptor] = [_UnarySpans(), _StreamSpans()]
    return grpc.aio.insecure_channel(address, options=_OPTIONS, interceptors=interceptors)


@contextlib.contextmanager
def errors() -> Iterator[None]:
    """Calls inside raise `svckit.errors` instead of AioRpcError.

    A call that never reached the server, or whose connection broke, raises Unavailable.
    """
    try:
        yield
    except grpc.aio.AioRpcError as error:
        raise status.from_rpc_error(error) from error


class _Spans:
    def _begin(self, details: Any) -> tuple[Span, Any]:
        method = details.method.decode() if isinstance(details.method, bytes) else details.method
        span = trace.get_tracer("protostar").start_span(
            method.lstrip("/"), kind=SpanKind.CLIENT, attributes=rpc_spans.attributes(method)
        )
        with trace.use_span(span, end_on_exit=False):
            headers = tracing.carrier()
        metadata = grpc.aio.Metadata(*(details.metadata or ()), *headers.items())
        return span, details._replace(metadata=metadata)

    async def _call(self, continuation: Callable[..., Any], details: Any, request: Any) -> Any:
        span, details = self._begin(details)
        began = time.perf_counter()
        call = await continuation(details, request)
        task = asyncio.ensure_future(_end(call, span, began))
        _ENDING.add(task)
        task.add_done_callback(_ENDING.discard)
        return call


class _UnarySpans(_Spans, grpc.aio.UnaryUnaryClientInterceptor):
    async def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return await self._call(continuation, client_call_details, request)


class _StreamSpans(_Spans, grpc.aio.UnaryStreamClientInterceptor):
    async def intercept_unary_stream(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return await self._call(continuation, client_call_details, request)


_ENDING: set[asyncio.Future[None]] = set()


async def _end(call: Any, span: Span, began: float) -> None:
    """End the span when the call has ended, however it did."""
    try:
        code = await call.code()
        rpc_spans.set_outcome(span, code, await call.details() or "", server=False)
    except asyncio.CancelledError:
        rpc_spans.set_outcome(span, grpc.StatusCode.CANCELLED, "cancelled by the caller", server=False)
    finally:
        rpc_spans.CLIENT_DURATION.record(time.perf_counter() - began)
        span.end()
