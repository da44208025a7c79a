"""Values as JSON text in a column."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import DateTime, Dialect, Text
from sqlalchemy.types import TypeDecorator

from api_svc.domain.instance import Instance


class Document(TypeDecorator[Any]):
    """A frozen dataclass (or a mapping, or a tuple of them) as JSON; NULL for None."""

    impl = Text
    cache_ok = True

    def __init__(self, kind: Any) -> None:
        super().__init__()
        self.kind = kind
        self._json: TypeAdapter[Any] = TypeAdapter(kind)

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else self._json.dump_json(value, exclude_defaults=True).decode()

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        return None if value is None else self._json.validate_json(value)


class Snapshot(TypeDecorator[Any]):
    """An instance as it was, without its user_data, which never changes and stays in its own row."""

    impl = Text
    cache_ok = True
    _json = TypeAdapter(Instance)

    def process_bind_param(self, value: Instance | None, dialect: Dialect) -> str | None:
        if value is None:
            return None
        return self._json.dump_json(value, exclude_defaults=True, exclude={"user_data"}).decode()

    def process_result_value(self, value: str | None, dialect: Dialect) -> Instance | None:
        return None if value is None else self._json.validate_json(value)


class UtcDateTime(TypeDecorator[datetime]):
    """A moment, with its zone on the way in and out; SQLite would drop it."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
