"""The second time a request comes (AIP-155).

Nobody looks for it in advance: a repeated request is refused by the state its first time left, or by the unique key of
request ids, and only then is its first time looked up.
"""

from __future__ import annotations

from api_svc.domain.commands import Envelope
from api_svc.domain.operation import Operation
from api_svc.domain.policy import Caller
from api_svc.ports import Store
from svckit.errors import InvalidArgument, PermissionDenied, ProtostarError, Unavailable


async def replay(store: Store, caller: Caller, envelope: Envelope, refusal: ProtostarError) -> Operation:
    """The operation that this request made before.

    :raise ProtostarError: the refusal, if it is the first time.
    :raise InvalidArgument: REQUEST_ID_REUSED, that was another request.
    """
    if not envelope.request_id or isinstance(refusal, Unavailable | PermissionDenied):
        raise refusal
    async with store.reading() as session:
        made = await session.operations.find_request(caller.project, envelope.request_id)
    if made is None:
        raise refusal
    check_same(made, envelope)
    return made


def check_same(made: Operation, envelope: Envelope) -> None:
    """The same id means the same content. :raise InvalidArgument: REQUEST_ID_REUSED."""
    assert made.request is not None
    if made.request.digest == envelope.digest:
        return
    raise InvalidArgument(
        f"request_id {envelope.request_id} was used for another request, which made {made.name}; make a new UUID4",
        reason="REQUEST_ID_REUSED",
        metadata={"request_id": envelope.request_id, "operation": made.name},
    )
