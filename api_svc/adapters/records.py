"""Values as JSON text in a column."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import msgspec
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
        self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(kind)

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else msgspec.json.encode(value).decode()

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        return None if value is None else self._decoder.decode(value)


class Snapshot(Document):
    """An instance as it was, without its user_data, which never changes and stays in its own row."""

    cache_ok = True

    def __init__(self) -> None:
        super().__init__(Instance)

    def process_bind_param(self, value: Instance | None, dialect: Dialect) -> str | None:
        return None if value is None else super().process_bind_param(replace(value, user_data=b""), dialect)


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
