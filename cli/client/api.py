"""The public API as commands use it: one address, one identity, errors of `svckit.errors`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, Protocol, TypeVar

import grpc
from google.longrunning import operations_pb2_grpc
from protostar.api.v1 import (
    host_pb2_grpc,
    image_pb2_grpc,
    instance_service_pb2_grpc,
    network_pb2_grpc,
    operation_pb2_grpc,
    volume_pb2_grpc,
)

from cli.session import Session
from svckit import channel
from svckit.errors import Unavailable

Request = TypeVar("Request")
Response = TypeVar("Response")
_SECONDS = 30.0
_ATTEMPTS = 3
_PAGE = 500  # an answer has to fit into gRPC's 4 MiB


class Api:
    """Stubs for every public service. Every call has a deadline and carries who is asking."""

    def __init__(self, link: grpc.aio.Channel, session: Session) -> None:
        self._metadata = session.metadata
        self.instances = instance_service_pb2_grpc.InstanceServiceStub(link)
        self.images = image_pb2_grpc.ImageServiceStub(link)
        self.networks = network_pb2_grpc.NetworkServiceStub(link)
        self.volumes = volume_pb2_grpc.VolumeServiceStub(link)
        self.hosts = host_pb2_grpc.HostServiceStub(link)
        self.operations = operations_pb2_grpc.OperationsStub(link)
        self.progress = operation_pb2_grpc.OperationServiceStub(link)

    async def call(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[Request, Response],
        request: Request,
        seconds: float = _SECONDS,
    ) -> Response:
        """One call; again, a few times, when the server says so: ours carry ids and may be repeated (AIP-155)."""
        for _ in range(_ATTEMPTS - 1):
            try:
                return await self._once(method, request, seconds)
            except Unavailable as error:
                if error.retry_after is None:
                    raise
                await asyncio.sleep(min(error.retry_after, 2.0))
        return await self._once(method, request, seconds)

    async def stream(
        self, method: grpc.aio.UnaryStreamMultiCallable[Request, Response], request: Request
    ) -> AsyncIterator[Response]:
        """A stream that ends when the server ends it; it has no deadline."""
        with channel.errors():
            async for response in method(request, metadata=self._metadata):
                yield response

    async def every(self, method: Any, request: Any, at_most: int = 0) -> Any:
        """A List call's answer with all its pages in one, or the first `at_most` entries."""
        request.page_size = min(at_most or _PAGE, _PAGE)
        whole = await self.call(method, request)
        (field,) = (field for field in whole.DESCRIPTOR.fields if field.is_repeated and field.message_type)
        entries = getattr(whole, field.name)
        while whole.next_page_token and (not at_most or len(entries) < at_most):
            request.page_token = whole.next_page_token
            page = await self.call(method, request)
            entries.extend(getattr(page, field.name))
            whole.next_page_token = page.next_page_token
        return whole

    async def _once(
        self, method: grpc.aio.UnaryUnaryMultiCallable[Request, Response], request: Request, seconds: float
    ) -> Response:
        with channel.errors():
            return await method(request, metadata=self._metadata, timeout=seconds)


class Listed(Protocol):
    """What every resource has."""

    name: str
    uid: str
    display_name: str


@contextlib.asynccontextmanager
async def connected(session: Session) -> AsyncIterator[Api]:
    """The API at the session's address. Nothing is sent before the first call."""
    async with channel.connect(session.api_address) as link:
        yield Api(link, session)
