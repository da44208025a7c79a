"""MAC addresses."""

from __future__ import annotations

import re

from svckit.errors import InvalidArgument

# The prefix that OpenStack's ports have; locally administered.
PREFIX = "fa:16:3e"
RANDOM_BITS = 24
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_MULTICAST = 0x01
_RESERVED = 0xFE  # libvirt keeps it for the host's end of a tap device


def mac_address(number: int) -> str:
    """The address with these 24 bits after the prefix."""
    return PREFIX + "".join(f":{octet:02x}" for octet in number.to_bytes(RANDOM_BITS // 8, "big"))


def check_mac(text: str, field: str) -> None:
    """Refuse what no guest can have.

    :raise InvalidArgument: it is not lower case with colons, is for groups, is nil, or reserved by libvirt.
    """
    if not _MAC.fullmatch(text):
        raise InvalidArgument.field(field, f'must be lower case such as "fa:16:3e:00:00:01", got {text!r}')
    first = int(text[:2], 16)
    if first & _MULTICAST:
        raise InvalidArgument.field(field, f"{text} is a group address; the first octet must be even")
    if first == _RESERVED:
        raise InvalidArgument.field(field, f"{text}: libvirt reserves the first octet fe; choose another")
    if not text.strip("0:"):
        raise InvalidArgument.field(field, "must not be all zeros")
