"""Calls to the services behind this one: what their errors mean here."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import grpc
from google.rpc import error_details_pb2
from google.rpc.status_pb2 import Status

from svckit import status
from svckit.errors import Unavailable

# Codes that grpc itself gives to a call whose connection broke, whose server stopped, or that nobody answered in time.
_BROKEN = frozenset(
    {
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNAVAILABLE,
    }
)


@contextlib.contextmanager
def calling(peer: str) -> Iterator[None]:
    """Calls inside raise `svckit.errors`. Whatever the peer did not say itself, by an ErrorInfo, is Unavailable."""
    try:
        yield
    except grpc.aio.AioRpcError as error:
        told = status.status_of(error)
        if error.code() in _BROKEN and not _has_reason(told):
            raise Unavailable(
                f"{peer} does not answer: {told.message or error.code().name}", retry_after=1.0
            ) from error
        raise status.from_status(told) from error


def _has_reason(told: Status) -> bool:
    return any(detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR) for detail in told.details)
