"""The server's side of every call: its span, its errors, and that a unary handler finishes what it began."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import structlog
from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind

from svckit import rpc_spans, status, tracing
from svckit.errors import Internal, ProtostarError

log = structlog.get_logger(__name__)
_CODES = {code.value[0]: code for code in grpc.StatusCode}


class ServerInterceptor(grpc.aio.ServerInterceptor):
    """One span a call, W3C context in, trace id out, errors as google.rpc.Status.

    A unary handler runs in a task of its own: a client that goes away does not cancel what is about to be persisted. A
    stream ends with its client. Health and reflection are left alone and leave no spans.
    """

    def __init__(self) -> None:
        self._unfinished: set[asyncio.Task[Any]] = set()

    async def drain(self) -> None:
        """Wait for handlers whose clients have gone."""
        await asyncio.gather(*self._unfinished, return_exceptions=True)

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        handler = await continuation(handler_call_details)
        if handler is None or handler_call_details.method.startswith("/grpc."):
            return handler
        if handler.unary_unary:
            return grpc.unary_unary_rpc_method_handler(
                self._unary(handler.unary_unary, handler_call_details),
                handler.request_deserializer,
                handler.response_serializer,
            )
        if handler.unary_stream:
            return grpc.unary_stream_rpc_method_handler(
                self._stream(handler.unary_stream, handler_call_details),
                handler.request_deserializer,
                handler.response_serializer,
            )
        return handler

    def _unary(self, handle: Any, call: grpc.HandlerCallDetails) -> Any:
        async def wrapped(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            with _Call(call, context) as current:
                work = asyncio.ensure_future(handle(request, context))
                self._unfinished.add(work)
                work.add_done_callback(self._unfinished.discard)
                try:
                    response = await asyncio.shield(work)
                except Exception as error:
                    await current.abort(error)
                current.succeed()
                return response

        return wrapped

    def _stream(self, handle: Any, call: grpc.HandlerCallDetails) -> Any:
        # A coroutine that writes, not a generator that yields: a generator whose client goes away is closed by whoever
        # finds it, outside of the context in which its span was begun, and what it iterates over is not closed at all.
        async def wrapped(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> None:
            with _Call(call, context) as current:
                try:
                    async with contextlib.aclosing(handle(request, context)) as responses:
                        async for response in responses:
                            await context.write(response)
                except Exception as error:
                    await current.abort(error)
                current.succeed()

        return wrapped


class _Call:
    """The span and the outcome of one call."""

    def __init__(self, call: grpc.HandlerCallDetails, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        headers = {key: value for key, value in call.invocation_metadata or () if isinstance(value, str)}
        self._context = context
        self._began = time.perf_counter()
        self._attributes = rpc_spans.attributes(call.method)
        self._span: Span = trace.get_tracer("protostar").start_span(
            call.method.lstrip("/"),
            context=tracing.context_from(headers),
            kind=SpanKind.SERVER,
            attributes={**self._attributes, "network.peer.address": context.peer()},
        )
        self._trace_headers = _trace_response(self._span)

    def __enter__(self) -> _Call:
        self._scope = trace.use_span(self._span, end_on_exit=False, record_exception=False)
        self._scope.__enter__()
        self._context.set_trailing_metadata(self._trace_headers)
        return self

    def __exit__(self, *exc: object) -> None:
        self._scope.__exit__(None, None, None)
        rpc_spans.SERVER_DURATION.record(time.perf_counter() - self._began, self._attributes)
        self._span.end()

    def succeed(self) -> None:
        rpc_spans.set_outcome(self._span, grpc.StatusCode.OK, "", server=True)

    async def abort(self, error: Exception) -> None:
        """End the call with what the error means to a caller; a bug is logged here and told as INTERNAL."""
        if isinstance(error, grpc.aio.AbortError):
            raise error
        if not isinstance(error, ProtostarError):
            log.error("handler_failed", method=self._attributes["rpc.method"], exc_info=error)
            error = Internal("internal error; report it with the trace id", retry_after=None)
        known = status.to_status(error, f"{self._span.get_span_context().trace_id:032x}")
        code = _CODES[known.code]
        rpc_spans.set_outcome(self._span, code, known.message, server=True)
        await self._context.abort(code, known.message, (*self._trace_headers, status.trailing_metadata(known)))


def _trace_response(span: Span) -> tuple[tuple[str, str], ...]:
    """W3C traceresponse: by it the caller learns the trace id, also when he sent none."""
    context = span.get_span_context()
    return (("traceresponse", f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"),)
