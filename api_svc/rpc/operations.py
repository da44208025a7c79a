"""google.longrunning.Operations, whole, and protostar.api.v1.OperationService."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from google.longrunning import operations_pb2, operations_pb2_grpc
from google.protobuf.empty_pb2 import Empty
from protostar.api.v1 import operation_pb2, operation_pb2_grpc

from api_svc.rpc.identity import caller_of
from api_svc.translate import values
from api_svc.translate.operations import operation_to_wire
from api_svc.usecases.operations import MAX_WAIT_SECONDS, Operations
from svckit import names
from svckit.errors import InvalidArgument

# Answers go out this much before the caller's own deadline, so that they arrive.
_MARGIN_SECONDS = 0.25


class OperationsServicer(operations_pb2_grpc.OperationsServicer):
    """A doorway: translate, call, translate."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations

    async def GetOperation(self, request: operations_pb2.GetOperationRequest, context: Any) -> operations_pb2.Operation:
        caller = caller_of(context)
        return operation_to_wire(await self._operations.get(caller, names.parse("operations", request.name)))

    async def ListOperations(
        self, request: operations_pb2.ListOperationsRequest, context: Any
    ) -> operations_pb2.ListOperationsResponse:
        caller = caller_of(context)
        if request.name not in ("", "operations"):
            raise InvalidArgument.field("name", f'must be "operations", got {request.name!r}')
        found, token = await self._operations.page(caller, request.page_size, request.page_token, request.filter)
        operations = [operation_to_wire(each) for each in found]
        return operations_pb2.ListOperationsResponse(operations=operations, next_page_token=token)

    async def WaitOperation(
        self, request: operations_pb2.WaitOperationRequest, context: Any
    ) -> operations_pb2.Operation:
        caller = caller_of(context)
        uid = names.parse("operations", request.name)
        wanted = values.seconds(request, "timeout")
        if wanted is not None and wanted < 0:
            raise InvalidArgument.field("timeout", "must not be negative")
        return operation_to_wire(await self._operations.wait(caller, uid, _patience(wanted, context)))

    async def CancelOperation(self, request: operations_pb2.CancelOperationRequest, context: Any) -> Empty:
        caller = caller_of(context)
        await self._operations.cancel(caller, names.parse("operations", request.name))
        return Empty()

    async def DeleteOperation(self, request: operations_pb2.DeleteOperationRequest, context: Any) -> Empty:
        caller = caller_of(context)
        await self._operations.delete(caller, names.parse("operations", request.name))
        return Empty()


class OperationServicer(operation_pb2_grpc.OperationServiceServicer):
    """A doorway: translate, call, translate."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations

    async def WatchOperation(
        self, request: operation_pb2.WatchOperationRequest, context: Any
    ) -> AsyncIterator[operation_pb2.WatchOperationResponse]:
        caller = caller_of(context)
        uid = names.parse("operations", request.name)
        async with contextlib.aclosing(self._operations.watch(caller, uid)) as states:
            async for state in states:
                yield operation_pb2.WatchOperationResponse(operation=operation_to_wire(state))


def _patience(wanted: float | None, context: Any) -> float:
    left = context.time_remaining()
    most = MAX_WAIT_SECONDS if left is None else max(0.0, left - _MARGIN_SECONDS)
    return most if wanted is None else min(wanted, most)
