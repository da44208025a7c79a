"""Names that people give."""

from __future__ import annotations

from svckit.errors import InvalidArgument

MAX_LENGTH = 255


def check_display_name(text: str, field: str, *, required: bool = True) -> None:
    """Refuse a name that is missing, too long or not printable.

    :raise InvalidArgument: it is.
    """
    if required and not text.strip():
        raise InvalidArgument.field(field, "must not be empty")
    if len(text) > MAX_LENGTH:
        raise InvalidArgument.field(field, f"must have at most {MAX_LENGTH} characters, has {len(text)}")
    if not text.isprintable():
        raise InvalidArgument.field(field, "must not hold control characters")
