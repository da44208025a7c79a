"""Pages by key and filters, as SQL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, Select, Table, func, literal, tuple_

from netblock_svc.adapters.tables import UtcDateTime
from netblock_svc.ports import Page
from svckit.listing import Comparison


def paged(query: Select[Any], table: Table, page: Page, columns: Mapping[str, ColumnElement[Any]]) -> Select[Any]:
    """The rows of a page, oldest first; `columns` are those that its filter may name."""
    key = (table.c.create_time, table.c.uid)
    if page.after is not None:
        moment, uid = page.after
        query = query.where(tuple_(*key) > tuple_(literal(moment, UtcDateTime), literal(uid)))
    for comparison in page.comparisons:
        query = query.where(_holds(columns[comparison.field], comparison))
    return query.order_by(*key).limit(page.size)


def _holds(column: ColumnElement[Any], comparison: Comparison) -> ColumnElement[bool]:
    """A missing value is equal to ""."""
    if comparison.negated:
        return func.coalesce(column, "") != comparison.value
    return column == comparison.value if comparison.value else func.coalesce(column, "") == ""
