"""Lists: from a caller's page request to rows and back to a token."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol, TypeVar

from netblock_svc.ports import Page
from svckit import listing, names
from svckit.errors import InvalidArgument
from svckit.listing import Comparison


class Listed(Protocol):
    """What has a place in a list."""

    @property
    def uid(self) -> str: ...
    @property
    def create_time(self) -> datetime: ...


T = TypeVar("T", bound=Listed)


@dataclass(frozen=True, kw_only=True)
class Query:
    """A list as its caller asks for it."""

    page_size: int = 0
    page_token: str = ""
    filter: str = ""
    project: str = ""

    @property
    def _bound_to(self) -> str:
        return f"{self.project}\n{self.filter}"


def page_of(query: Query, fields: Collection[str], collections: Mapping[str, str] | None = None) -> Page:
    """The page to read: one row more than asked for, by which one sees that there are more.

    Fields in `collections` hold resource names of that collection, and are compared by uid.

    :raise InvalidArgument: size, token or filter is wrong.
    """
    comparisons = [_plain(comparison, collections or {}) for comparison in listing.parse_filter(query.filter, fields)]
    return Page(
        size=listing.page_size(query.page_size) + 1,
        after=_key(listing.decode_token(query.page_token, query._bound_to, 2)),
        project=query.project,
        comparisons=tuple(comparisons),
    )


def cut(query: Query, rows: Sequence[T]) -> tuple[Sequence[T], str]:
    """The rows to answer and the token of the next page, "" on the last one."""
    size = listing.page_size(query.page_size)
    if len(rows) <= size:
        return rows, ""
    last = rows[size - 1]
    return rows[:size], listing.encode_token((last.create_time.isoformat(), last.uid), query._bound_to)


def _plain(comparison: Comparison, collections: Mapping[str, str]) -> Comparison:
    if not comparison.value.isprintable():
        raise InvalidArgument.field("filter", f"the value of {comparison.field} must not hold control characters")
    collection = collections.get(comparison.field)
    if not collection or not comparison.value:
        return comparison
    return replace(comparison, value=names.parse(collection, comparison.value, "filter"))


def _key(key: tuple[str, ...] | None) -> tuple[datetime, str] | None:
    if key is None:
        return None
    moment, uid = key
    try:
        after = datetime.fromisoformat(moment)
    except ValueError as error:
        raise InvalidArgument.field("page_token", "is not a token that this server made") from error
    if after.tzinfo is None or not names.is_uuid(uid):
        raise InvalidArgument.field("page_token", "is not a token that this server made")
    return after, uid
