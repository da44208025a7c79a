"""Names of disks in the guest: "vda", "sdb", "hdc" (Nova: blockinfo.py). Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from types import MappingProxyType

from compute_svc.domain.image_properties import unsupported
from svckit.errors import FailedPrecondition

PREFIXES: Mapping[str, str] = MappingProxyType(
    {"ide": "hd", "virtio": "vd", "scsi": "sd", "usb": "sd", "sata": "sd", "fdc": "fd"}
)
# Nova (Ocata): four on IDE, which is what the chipset has, else one letter.
_LIMITS: Mapping[str, int] = MappingProxyType({"ide": 4, "fdc": 2})
_DEFAULT_LIMIT = 26
_BUS_OF_PREFIX: Mapping[str, str] = MappingProxyType({"hd": "ide", "vd": "virtio", "sd": "scsi", "fd": "fdc"})
_NAME = re.compile(r"(?:/dev/)?(?P<prefix>hd|vd|sd|fd)(?P<letters>[a-z]{1,3})")


def letters(index: int) -> str:
    """Bijective base 26: 0 is a, 25 is z, 26 is aa, 701 is zz, 702 is aaa."""
    text = ""
    index += 1
    while index:
        index, rest = divmod(index - 1, 26)
        text = chr(ord("a") + rest) + text
    return text


def index_of(dev: str) -> int:
    """The place of a well-formed name on its bus: the inverse of `letters`."""
    index = 0
    for letter in dev[2:]:
        index = index * 26 + ord(letter) - ord("a") + 1
    return index - 1


def limit(bus: str) -> int:
    """How many disks a bus takes."""
    return _LIMITS.get(bus, _DEFAULT_LIMIT)


def strip(device_name: str) -> str:
    """ "/dev/vdb" to "vdb"; empty stays empty.

    :raise FailedPrecondition: UNSUPPORTED_HARDWARE, it is no name of a disk.
    """
    if not device_name:
        return ""
    match = _NAME.fullmatch(device_name)
    if match is None:
        raise unsupported(
            f"{device_name!r} is no device name; use one like /dev/vdb, or none to have one chosen", device=device_name
        )
    return match["prefix"] + match["letters"]


def bus_of(dev: str) -> str:
    """The bus that a name suggests (Nova: get_disk_bus_for_disk_dev)."""
    return _BUS_OF_PREFIX[dev[:2]]


def fits(dev: str, bus: str) -> bool:
    """Whether a disk on this bus may have this name."""
    return bool(dev) and dev.startswith(PREFIXES[bus])


def first_free(bus: str, taken: Collection[str]) -> str:
    """The first name on a bus that is not taken.

    :raise FailedPrecondition: TOO_MANY_DISK_DEVICES.
    """
    for index in range(limit(bus)):
        dev = PREFIXES[bus] + letters(index)
        if dev not in taken:
            return dev
    raise too_many(bus)


def too_many(bus: str) -> FailedPrecondition:
    """The refusal of one disk more than a bus takes."""
    return FailedPrecondition(
        f"bus {bus} takes at most {limit(bus)} disks; detach a volume or choose another bus with hw_disk_bus",
        reason="TOO_MANY_DISK_DEVICES",
        metadata={"bus": bus, "maximum": str(limit(bus))},
    )
