"""Who is calling, from the metadata of the call.

Until tokens exist there is no proof: only loopback is served, and everybody on it is the local admin unless he says
that he acts as somebody else.

    x-protostar-user      who; without it the caller is the local admin
    x-protostar-project   in which project, default "default"
    x-protostar-roles     admin, member, reader, comma separated, default member
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from api_svc.domain.policy import LOCAL_ADMIN, Caller, Role
from svckit.errors import Unauthenticated

USER = "x-protostar-user"
PROJECT = "x-protostar-project"
ROLES = "x-protostar-roles"
_WORD = re.compile(r"[A-Za-z0-9._@-]{1,64}")


def caller_of(context: Any) -> Caller:
    """The caller of a gRPC call.

    :raise Unauthenticated: what he says of himself is malformed, or he sends a token.
    """
    metadata = context.invocation_metadata() or ()
    return from_headers({key: value for key, value in metadata if isinstance(value, str)})


def from_headers(headers: Mapping[str, str]) -> Caller:
    """The caller that lower-case headers tell of. :raise Unauthenticated: as `caller_of`."""
    if "authorization" in headers:
        raise Unauthenticated("tokens are not accepted yet; leave the authorization header out")
    if USER not in headers:
        _refuse_orphans(headers)
        return LOCAL_ADMIN
    return Caller(
        user=_word(USER, headers[USER]),
        project=_word(PROJECT, headers.get(PROJECT, LOCAL_ADMIN.project)),
        roles=_roles(headers.get(ROLES, Role.MEMBER)),
    )


def _refuse_orphans(headers: Mapping[str, str]) -> None:
    for name in (PROJECT, ROLES):
        if name in headers:
            raise Unauthenticated(f"{name} means nothing without {USER}; send both", metadata={"header": name})


def _word(name: str, value: str) -> str:
    if not _WORD.fullmatch(value):
        raise Unauthenticated(
            f"{name} must be 1 to 64 of the characters A-Z a-z 0-9 . _ @ -, got {value!r}", metadata={"header": name}
        )
    return value


def _roles(text: str) -> frozenset[Role]:
    try:
        return frozenset(Role(part.strip()) for part in text.split(","))
    except ValueError as error:
        raise Unauthenticated(
            f"{ROLES} must be some of {', '.join(Role)}, comma separated, got {text!r}", metadata={"header": ROLES}
        ) from error
