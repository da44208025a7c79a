"""Whether the fields of a request are what they may be. Each check raises InvalidArgument, INVALID_FIELD, naming the
field by its path and saying what would be right."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta

from api_svc.domain.commands import Envelope
from api_svc.domain.image import Image
from api_svc.domain.instance import Flavor
from svckit.errors import InvalidArgument

DEFAULT_DEADLINE = timedelta(minutes=10)
MAX_DEADLINE = timedelta(hours=24)
MAX_GRACE = 3600.0
# A graceful stop must be able to wait out its grace period and still cut the power.
AFTER_GRACE = timedelta(minutes=2)
_GIB_IN_MIB = 1024


def check_request_id(text: str) -> None:
    """Empty or a UUID4 (AIP-155); the nil UUID is none."""
    if not text:
        return
    try:
        value = uuid.UUID(text)
    except ValueError:
        value = uuid.UUID(int=0)
    if str(value) != text.lower() or value.version != 4 or value.variant != uuid.RFC_4122:
        raise InvalidArgument.field("request_id", f"must be a UUID4 or empty, got {text!r}")


def check_envelope(envelope: Envelope) -> None:
    """What every mutating request carries."""
    check_request_id(envelope.request_id)
    check_length("etag", envelope.etag, 0, 100)


def deadline_of(wanted: datetime | None, now: datetime, grace_seconds: float | None = None) -> datetime:
    """When the operation has to have ended: as wanted, else in ten minutes, or later if the guest is given longer."""
    if wanted is None:
        return now + max(DEFAULT_DEADLINE, timedelta(seconds=grace_seconds or 0) + AFTER_GRACE)
    if wanted <= now:
        raise InvalidArgument.field("deadline", f"must be in the future; it is {now.isoformat()} here")
    if wanted > now + MAX_DEADLINE:
        raise InvalidArgument.field("deadline", "must be within 24 hours from now")
    return wanted


def check_grace(seconds: float | None) -> None:
    """0 to 3,600 s."""
    if seconds is not None and not 0 <= seconds <= MAX_GRACE:
        raise InvalidArgument.field("grace_period", f"must be 0 to {MAX_GRACE:g} s, got {seconds:g} s")


def check_length(field: str, text: str, least: int, most: int) -> None:
    """Count of characters."""
    if not least <= len(text) <= most:
        raise InvalidArgument.field(field, f"must be {least} to {most} characters, got {len(text)}")


def check_range(field: str, value: int, least: int, most: int) -> None:
    """Bounds, both allowed."""
    if not least <= value <= most:
        raise InvalidArgument.field(field, f"must be {least:,} to {most:,}, got {value:,}")


def check_display_name(field: str, text: str) -> None:
    """1 to 255 printable characters."""
    check_length(field, text, 1, 255)
    if not text.isprintable() or not text.strip():
        raise InvalidArgument.field(field, "must be printable and not blank")


def check_flavor(flavor: Flavor) -> None:
    """The bounds of protostar.api.v1.Flavor."""
    check_range("instance.flavor.vcpus", flavor.vcpus, 1, 256)
    check_range("instance.flavor.memory_mib", flavor.memory_mib, 32, 16_777_216)
    check_range("instance.flavor.root_gib", flavor.root_gib, 0, 65_536)
    check_range("instance.flavor.ephemeral_gib", flavor.ephemeral_gib, 0, 65_536)
    check_range("instance.flavor.swap_mib", flavor.swap_mib, 0, 65_536 * _GIB_IN_MIB)


def check_metadata(metadata: Mapping[str, str]) -> None:
    """Up to 128 pairs, keys of 1 to 255 characters, values up to 255."""
    if len(metadata) > 128:
        raise InvalidArgument.field("instance.metadata", f"must have at most 128 pairs, got {len(metadata)}")
    for key, value in metadata.items():
        check_length(f"instance.metadata key {key[:20]!r}", key, 1, 255)
        check_length(f"instance.metadata.{key}", value, 0, 255)


def check_user_data(content: bytes) -> None:
    """Up to 65,535 bytes (Nova's limit)."""
    if len(content) > 65_535:
        raise InvalidArgument.field("instance.user_data", f"must be at most 65,535 bytes, got {len(content):,}")


def check_fits_image(flavor: Flavor, image: Image) -> None:
    """The image's own demands on a flavor; a root disk of 0 GiB takes the image's size."""
    if flavor.root_gib and flavor.root_gib < image.min_disk_gib:
        raise InvalidArgument.field(
            "instance.flavor.root_gib", f"image {image.display_name!r} needs at least {image.min_disk_gib} GiB"
        )
    if flavor.root_gib and flavor.root_gib * 1024**3 < image.virtual_size_bytes and image.disk_format != "iso":
        needed = -(-image.virtual_size_bytes // 1024**3)
        raise InvalidArgument.field(
            "instance.flavor.root_gib", f"image {image.display_name!r} is larger; it needs at least {needed} GiB"
        )
    if flavor.memory_mib < image.min_memory_mib:
        raise InvalidArgument.field(
            "instance.flavor.memory_mib", f"image {image.display_name!r} needs at least {image.min_memory_mib} MiB"
        )


def check_source(source: str) -> None:
    """An absolute path, or an http or https address."""
    check_length("source", source, 1, 4096)
    if not source.startswith(("/", "http://", "https://")) or "\0" in source:
        raise InvalidArgument.field("source", f"must be an absolute path or an http(s) address, got {source[:80]!r}")


def check_sha256(text: str) -> None:
    """64 hex digits, or empty."""
    if text and (len(text) != 64 or any(digit not in "0123456789abcdef" for digit in text.lower())):
        raise InvalidArgument.field("sha256", f"must be 64 hex digits or empty, got {text[:80]!r}")


def check_properties(properties: Mapping[str, str]) -> None:
    """Up to 128 pairs, keys of 1 to 255 characters, values up to 255."""
    if len(properties) > 128:
        raise InvalidArgument.field("image.properties", f"must have at most 128 pairs, got {len(properties)}")
    for key, value in properties.items():
        check_length(f"image.properties key {key[:20]!r}", key, 1, 255)
        check_length(f"image.properties.{key}", value, 0, 255)
