"""Protobuf messages as JSON: the contract's own field names, every field there, nothing else on stdout."""

from __future__ import annotations

import json
from typing import Any

from google.protobuf import empty_pb2, json_format
from google.protobuf.message import Message
from google.rpc import error_details_pb2

# What an Any may hold must be loaded to be shown.
LOADED = (empty_pb2.DESCRIPTOR, error_details_pb2.DESCRIPTOR)


def show(message: Message, *, indent: int | None = 2) -> None:
    """Print a message."""
    show_json(as_json(message), indent=indent)


def show_json(content: Any, *, indent: int | None = 2) -> None:
    """Print what is JSON already."""
    print(json.dumps(content, indent=indent), flush=True)


def as_json(message: Message) -> dict[str, Any]:
    """A message as JSON; 64-bit numbers are strings, as protobuf's JSON has them."""
    content: dict[str, Any] = json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return content
