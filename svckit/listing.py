"""Pages and filters of every List call (AIP-158, a subset of AIP-160). Pure.

A page token is opaque, holds the key of the last row (keyset, never an offset) and is bound to its filter.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Collection
from dataclasses import dataclass

from svckit.errors import InvalidArgument

DEFAULT_PAGE = 50
MAX_PAGE = 1000
_TERM = re.compile(r'\s*([a-z_]+(?:\.[^\s=!"]+)?)\s*(!=|=)\s*"((?:[^"\\]|\\.)*)"\s*')
_AND = re.compile(r"AND\b")


@dataclass(frozen=True)
class Comparison:
    """FIELD = "VALUE", or FIELD != "VALUE" when `negated`."""

    field: str
    value: str
    negated: bool = False


def page_size(wanted: int) -> int:
    """What a List call answers at most: 50 by default, never more than 1,000.

    :raise InvalidArgument: it is negative.
    """
    if wanted < 0:
        raise InvalidArgument.field("page_size", f"must not be negative, got {wanted}")
    return min(wanted or DEFAULT_PAGE, MAX_PAGE)


def encode_token(key: Collection[str], filter_text: str) -> str:
    """The token of the page that begins after the row with this key."""
    return base64.urlsafe_b64encode(json.dumps([_mark(filter_text), *key]).encode()).decode()


def decode_token(token: str, filter_text: str, key_length: int) -> tuple[str, ...] | None:
    """The key to go on after, None for the first page.

    :raise InvalidArgument: it is not a token of ours, or was made for another filter.
    """
    if not token:
        return None
    try:
        mark, *key = json.loads(base64.urlsafe_b64decode(token.encode()))
    except (ValueError, binascii.Error, TypeError) as error:
        raise InvalidArgument.field("page_token", "is not a token that this server made") from error
    if mark != _mark(filter_text) or len(key) != key_length or not all(isinstance(part, str) for part in key):
        raise InvalidArgument.field("page_token", "belongs to a request with another filter; start with an empty token")
    return tuple(key)


def parse_filter(text: str, fields: Collection[str]) -> list[Comparison]:
    """The comparisons of a filter, all of which must hold.

    Grammar: FIELD = "VALUE" or FIELD != "VALUE", joined by AND. "metadata.*" in `fields` allows any key there.

    :raise InvalidArgument: it does not follow the grammar or names an unknown field.
    """
    comparisons: list[Comparison] = []
    position = 0
    while text[position:].strip():
        if comparisons:
            joint = _AND.match(text, position)
            if not joint:
                raise _bad_filter(text, position, "expected AND")
            position = joint.end()
        term = _TERM.match(text, position)
        if not term:
            raise _bad_filter(text, position, 'expected FIELD = "VALUE"')
        field, operator, value = term.groups()
        if not _known(field, fields):
            raise _bad_filter(text, position, f"unknown field {field!r}; there are {', '.join(sorted(fields))}")
        comparisons.append(Comparison(field, re.sub(r"\\(.)", r"\1", value), operator == "!="))
        position = term.end()
    return comparisons


def _known(field: str, fields: Collection[str]) -> bool:
    stem, dot, _ = field.partition(".")
    return field in fields or (bool(dot) and f"{stem}.*" in fields)


def _bad_filter(text: str, position: int, why: str) -> InvalidArgument:
    return InvalidArgument.field("filter", f"{why} at character {position + 1} of {text!r}")


def _mark(filter_text: str) -> str:
    return hashlib.sha256(filter_text.encode()).hexdigest()[:16]
