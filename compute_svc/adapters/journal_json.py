"""A journal as one line of JSON.

msgspec writes our values as they are; reading it has no unions of plain dataclasses, so what is one of several kinds is
read in a second look, by its `kind`.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any, get_args, get_type_hints

import msgspec

from compute_svc.domain.journal import Journal
from compute_svc.domain.results import Result
from compute_svc.domain.undo import Undo


class _Tag(msgspec.Struct):
    kind: str


_BY_KIND = {cls.kind: msgspec.json.Decoder(cls) for union in (Result, Undo) for cls in get_args(union)}
_TAG = msgspec.json.Decoder(_Tag)
_HINTS = get_type_hints(Journal) | {"undo": tuple[msgspec.Raw, ...], "result": msgspec.Raw}
_RECORD: Any = msgspec.defstruct("JournalRecord", [(field.name, _HINTS[field.name]) for field in fields(Journal)])
_RECORDS = msgspec.json.Decoder(_RECORD)


def encode(journal: Journal) -> bytes:
    """One line, without its end."""
    return msgspec.json.encode(journal)


def decode(line: bytes) -> Journal:
    """:raise msgspec.MsgspecError: it is not a whole journal."""
    record = _RECORDS.decode(line)
    values = {name: getattr(record, name) for name in _HINTS}
    values["undo"] = tuple(_one_of(raw) for raw in record.undo)
    values["result"] = None if bytes(record.result) == b"null" else _one_of(record.result)
    return Journal(**values)


def _one_of(raw: msgspec.Raw) -> Any:
    kind = _TAG.decode(raw).kind
    if kind not in _BY_KIND:
        raise msgspec.ValidationError(f"unknown kind {kind!r}")
    return _BY_KIND[kind].decode(raw)
