"""Server reflection that also knows methods: `grpcurl describe package.Service.Method`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import FileDescriptor
from grpc_reflection.v1alpha import reflection

SERVICE_NAME = reflection.SERVICE_NAME


class _Symbols:
    """The default pool, which finds services but not their methods; asked for one, this answers its service's file."""

    def __init__(self) -> None:
        self._pool = descriptor_pool.Default()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)

    def FindFileContainingSymbol(self, symbol: str) -> FileDescriptor:
        try:
            return self._pool.FindFileContainingSymbol(symbol)
        except KeyError:
            owner, _, _ = symbol.rpartition(".")
            return self._pool.FindFileContainingSymbol(owner)


def enable(names: Sequence[str], server: grpc.aio.Server) -> None:
    """Serve reflection for these services."""
    pool = cast(descriptor_pool.DescriptorPool, _Symbols())
    reflection.enable_server_reflection((*names, SERVICE_NAME), server, pool=pool)
