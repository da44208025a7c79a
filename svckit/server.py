"""The life of a daemon: build, serve, drain on SIGTERM, flush.

Drain: health says NOT_SERVING, streams that only watch end, no new call is taken, calls in hand finish within the grace
period, background work is finished or handed back (`Lifecycle.on_drain`), connections close, spans are flushed.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import signal
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
import structlog
import uvloop
from google.longrunning import operations_pb2
from google.rpc import error_details_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from svckit import logs, reflection, tracing
from svckit.config import Settings
from svckit.interceptors import ServerInterceptor

log = structlog.get_logger(__name__)
_OPTIONS = (
    ("grpc.so_reuseport", 0),
    # A client that asks every 20 s whether we live, while it waits for a long answer, is not abusive. gRPC allows one
    # such ping in five minutes, and ends the connection of who sends three: the making of a large disk with it.
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
)
# Served descriptors: reflection can resolve Any in errors and operations only if these modules are loaded.
RESOLVABLE = (error_details_pb2.DESCRIPTOR, operations_pb2.Operation.DESCRIPTOR.file)


@dataclass(frozen=True)
class Servicer:
    """One gRPC service: its full name, the generated function that adds it, and the object that answers."""

    name: str
    add: Callable[[Any, Any], None]
    servicer: object


@dataclass
class Lifecycle:
    """What a service's bootstrap is given to tie its parts to the daemon's life."""

    draining: asyncio.Event = field(default_factory=asyncio.Event)
    stack: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)
    _on_drain: list[Callable[[], Awaitable[None]]] = field(default_factory=list)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def on_drain(self, hook: Callable[[], Awaitable[None]]) -> None:
        """Run `hook` when draining begins; it returns when its work is finished or handed back."""
        self._on_drain.append(hook)

    def on_close(self, hook: Callable[[], Awaitable[None]]) -> None:
        """Run `hook` after draining, in reverse order."""
        self.stack.push_async_callback(hook)

    def run(self, work: Awaitable[None], name: str) -> None:
        """Run something for as long as the daemon lives; if it fails the daemon ends: nothing stays half dead."""
        task = asyncio.ensure_future(self._guarded(work, name))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guarded(self, work: Awaitable[None], name: str) -> None:
        try:
            await work
        except asyncio.CancelledError:
            raise
        except Exception:
            log.exception("background_task_failed", task=name)
            signal.raise_signal(signal.SIGTERM)

    async def drain(self, grace: float) -> None:
        self.draining.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await asyncio.gather(*(hook() for hook in self._on_drain), return_exceptions=True)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.stack.aclose()


Build = Callable[[Lifecycle], Awaitable[Sequence[Servicer]]]


def run(service: str, address: str, settings: Settings, build: Build) -> None:
    """Run a daemon until SIGTERM or SIGINT. The whole of a service's __main__ after reading its settings."""
    logs.configure(service, settings.log_level)
    tracing.configure(service, settings.traces_dir)
    try:
        uvloop.run(serve(service, address, settings.drain_seconds, build))
    finally:
        tracing.flush()


async def serve(service: str, address: str, grace: float, build: Build, stop: asyncio.Event | None = None) -> None:
    """Serve until `stop` is set, by default by SIGTERM or SIGINT, then drain."""
    stop = stop or _stop_on_signals()
    lifecycle = Lifecycle()
    interceptor = ServerInterceptor()
    server = grpc.aio.server(interceptors=[interceptor], options=_OPTIONS)
    try:
        servicers = await build(lifecycle)
        health_servicer = health.aio.HealthServicer()
        names = _register(server, servicers, health_servicer)
        server.add_insecure_port(address)
        await server.start()
        await _set_health(health_servicer, names, health_pb2.HealthCheckResponse.SERVING)
        _settle_memory()
        log.info("serving", address=address)
        await stop.wait()
        log.info("draining", grace=grace)
        await _set_health(health_servicer, names, health_pb2.HealthCheckResponse.NOT_SERVING)
        await asyncio.gather(lifecycle.drain(grace), server.stop(grace))
        await interceptor.drain()
    finally:
        await server.stop(0)
        await lifecycle.close()
    log.info("stopped")


def _register(
    server: grpc.aio.Server, servicers: Sequence[Servicer], health_servicer: health.aio.HealthServicer
) -> list[str]:
    for entry in servicers:
        entry.add(entry.servicer, server)
    health_pb2_grpc.add_HealthServicer_to_server(health_servicer, server)
    names = [entry.name for entry in servicers]
    reflection.enable((*names, health.SERVICE_NAME), server)
    return names


async def _set_health(servicer: health.aio.HealthServicer, names: Sequence[str], state: Any) -> None:
    for name in ("", *names):
        await servicer.set(name, state)


def _settle_memory() -> None:
    """Give back what only starting needed (5 MB of 80), and spare the collector what was imported for good."""
    gc.collect()
    gc.freeze()
    with contextlib.suppress(OSError, AttributeError):  # another C library than glibc
        ctypes.CDLL(None).malloc_trim(0)


def _stop_on_signals() -> asyncio.Event:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop
