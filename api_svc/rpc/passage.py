"""What the doors of things that other services own have in common: who may, and on whose behalf."""

from __future__ import annotations

from typing import Any, Protocol

from google.protobuf.message import Message

from api_svc.domain import policy
from api_svc.domain.policy import Caller
from api_svc.rpc.identity import caller_of
from svckit import listing


class Passage(Protocol):
    """Sends a request to the service that owns its subject."""

    async def __call__(self, request: Message) -> Any:
        """Its response. :raise ProtostarError: as the owner said it."""


class ListRequest(Protocol):
    """What every List request has."""

    @property
    def page_size(self) -> int: ...
    @property
    def page_token(self) -> str: ...
    @property
    def filter(self) -> str: ...


def enter(context: Any, permission: str) -> Caller:
    """The caller, if he may.

    :raise Unauthenticated: nobody knows who he is.
    :raise PermissionDenied: he may not.
    """
    caller = caller_of(context)
    policy.require(caller, permission)
    return caller


def page(request: ListRequest, caller: Caller) -> dict[str, Any]:
    """The fields that every List request of an owner has. :raise InvalidArgument: the size is negative."""
    return {
        "page_size": listing.page_size(request.page_size),
        "page_token": request.page_token,
        "filter": request.filter,
        "project": caller.scope or "",
    }
