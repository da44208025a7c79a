"""An operation, at each change, until it is done, whatever breaks in between."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

from google.longrunning.operations_pb2 import Operation
from protostar.api.v1.operation_pb2 import WatchOperationRequest

from cli.client.api import Api
from svckit.errors import Cancelled, Unavailable

_PATIENCE_SECONDS = 60.0
_PAUSE_SECONDS = 0.3


async def follow(api: Api, operation: Operation) -> AsyncIterator[Operation]:
    """The operation as it is, again at each change, last when it is done.

    A server that goes away is waited for: what was accepted goes on without us, and without it.

    :raise Unavailable: it did not come back within a minute.
    """
    yield operation
    last_heard = time.monotonic()
    while not operation.done:
        try:
            async for answer in api.stream(api.progress.WatchOperation, WatchOperationRequest(name=operation.name)):
                operation, last_heard = answer.operation, time.monotonic()
                yield operation
        except (Unavailable, Cancelled):  # away, or draining
            if time.monotonic() - last_heard > _PATIENCE_SECONDS:
                raise
        if not operation.done:
            await asyncio.sleep(_PAUSE_SECONDS)
