"""How an image's properties are read. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from svckit.errors import FailedPrecondition

UNSUPPORTED_HARDWARE = "UNSUPPORTED_HARDWARE"

# Nova: oslo.utils' strutils.bool_from_string.
_TRUE = frozenset({"1", "t", "true", "on", "y", "yes"})


def choice(properties: Mapping[str, str], key: str, default: str, allowed: Collection[str]) -> str:
    """A property's value, or the default when it is absent or empty.

    :raise FailedPrecondition: UNSUPPORTED_HARDWARE, it is not one of `allowed`.
    """
    value = properties.get(key, "") or default
    if value == default or value in allowed:
        return value
    raise unsupported(
        f"image property {key}={value!r} is not supported here; use one of {', '.join(sorted(allowed))}",
        property=key,
        value=value,
    )


def flag(properties: Mapping[str, str], key: str) -> bool:
    """Whether a property says yes; what is no yes is no (Nova)."""
    return properties.get(key, "").strip().lower() in _TRUE


def count(properties: Mapping[str, str], key: str) -> int | None:
    """A positive whole number, None when the property is absent.

    :raise FailedPrecondition: UNSUPPORTED_HARDWARE, it is something else.
    """
    text = properties.get(key, "")
    if not text:
        return None
    if text.isascii() and text.isdigit() and len(text) < 6 and int(text) > 0:
        return int(text)
    raise unsupported(f"image property {key}={text!r} must be a positive whole number", property=key, value=text)


def unsupported(message: str, **metadata: str) -> FailedPrecondition:
    """The refusal of hardware that this host does not make."""
    return FailedPrecondition(message, reason=UNSUPPORTED_HARDWARE, metadata=metadata)
