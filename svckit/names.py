"""Resource names: "instances/{uuid}" and the like (AIP-122). Pure."""

from __future__ import annotations

import uuid

from svckit.errors import InvalidArgument


def parse(collection: str, name: str, field: str = "name") -> str:
    """The UUID in a name of this collection.

    :raise InvalidArgument: it is not of the form "{collection}/{uuid}".
    """
    prefix, _, uid = name.partition("/")
    if prefix != collection or not is_uuid(uid):
        raise InvalidArgument.field(field, f'must be "{collection}/" and a UUID in lower case, got {name!r}')
    return uid


def is_uuid(text: str) -> bool:
    """Whether it is a UUID in its canonical, lower-case form, and not the nil one."""
    try:
        value = uuid.UUID(text)
    except ValueError:
        return False
    return str(value) == text and value.int != 0


def chosen_uuid(text: str, field: str) -> str:
    """A caller's own choice of UUID, or a new one when he made none.

    :raise InvalidArgument: it is not a canonical UUID.
    """
    if text and not is_uuid(text):
        raise InvalidArgument.field(field, f"must be a UUID in lower case or empty, got {text!r}")
    return text or str(uuid.uuid4())
