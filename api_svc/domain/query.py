"""What a List call asks for, checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from api_svc.domain.states import LONG_RUNNING, OperationState, PowerState, TaskState, VmState
from svckit import listing
from svckit.errors import InvalidArgument

_INSTANCE_FIELDS = (
    "display_name",
    "vm_state",
    "task_state",
    "power_state",
    "host",
    "project",
    "image",
    "locked",
    "metadata.*",
)
_OPERATION_FIELDS = ("verb", "target", "state", "done")
_BOOLEANS = ("true", "false")
_STATES: Mapping[str, tuple[str, type[StrEnum]]] = {
    "vm_state": ("VM_STATE_", VmState),
    "task_state": ("TASK_STATE_", TaskState),
    "power_state": ("POWER_STATE_", PowerState),
    "state": ("OPERATION_STATE_", OperationState),
}
_COLLECTIONS = {"host": "hosts/", "image": "images/"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """One page of a list. `scope` is the one project seen, None for all; `after` the key of the row before it."""

    size: int
    filter: str = ""
    comparisons: Sequence[listing.Comparison] = ()
    after: tuple[str, ...] | None = None
    scope: str | None = None

    def token(self, key: tuple[str, ...]) -> str:
        """The token of the page that follows a row with this key."""
        return listing.encode_token(key, self.filter)


def instances(size: int, token: str, filter_text: str, scope: str | None) -> Page:
    """A page of instances. :raise InvalidArgument: size, token or filter is wrong."""
    return _page(size, token, filter_text, scope, _INSTANCE_FIELDS)


def operations(size: int, token: str, filter_text: str, scope: str | None) -> Page:
    """A page of operations. :raise InvalidArgument: size, token or filter is wrong."""
    return _page(size, token, filter_text, scope, _OPERATION_FIELDS)


def hosts(size: int, token: str) -> Page:
    """A page of hosts. :raise InvalidArgument: size or token is wrong."""
    return _page(size, token, "", None, (), key_length=1)


def _page(
    size: int, token: str, filter_text: str, scope: str | None, fields: Sequence[str], key_length: int = 2
) -> Page:
    return Page(
        size=listing.page_size(size),
        filter=filter_text,
        comparisons=[_normal(each) for each in listing.parse_filter(filter_text, fields)],
        after=listing.decode_token(token, filter_text, key_length),
        scope=scope,
    )


def _normal(comparison: listing.Comparison) -> listing.Comparison:
    """The value as the database has it: bare words of an enum, bare ids.

    :raise InvalidArgument: the field can never have this value.
    """
    field, value = comparison.field, comparison.value
    if field in _STATES:
        prefix, states = _STATES[field]
        value = _one_of(field, value.removeprefix(prefix), [str(state) for state in states])
    elif field == "verb":
        value = _one_of(field, value.removeprefix("VERB_"), [str(verb) for verb in LONG_RUNNING])
    elif field in ("locked", "done"):
        value = _one_of(field, value, _BOOLEANS)
    elif field in _COLLECTIONS:
        value = value.removeprefix(_COLLECTIONS[field])
    return listing.Comparison(field, value, comparison.negated)


def _one_of(field: str, value: str, allowed: Sequence[str]) -> str:
    if value not in allowed:
        raise InvalidArgument.field("filter", f"{field} is one of {', '.join(allowed)}, never {value!r}")
    return value
