"""What libvirt's states mean, and how long a guest may take to shut down. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from compute_svc.domain.model import PowerState

DEFAULT_SHUTDOWN_TIMEOUT = 60.0
_MAX_SHUTDOWN_TIMEOUT = 86400.0
_PROPERTY = "os_shutdown_timeout"

# virDomainState to power state (Nova: guest.py; nova-behaviour, section 1.1).
_FROM_LIBVIRT: Mapping[int, PowerState] = MappingProxyType(
    {
        0: PowerState.NO_STATE,
        1: PowerState.RUNNING,
        2: PowerState.RUNNING,  # blocked on a resource
        3: PowerState.PAUSED,
        4: PowerState.SHUTDOWN,  # being shut down
        5: PowerState.SHUTDOWN,  # off
        6: PowerState.CRASHED,
        7: PowerState.SUSPENDED,
    }
)


def from_libvirt(state: int) -> PowerState:
    """The power state for a virDomainState; UNKNOWN, never off, for one that we do not know."""
    return _FROM_LIBVIRT.get(state, PowerState.UNKNOWN)


def shutdown_timeout(requested: float | None, image_properties: Mapping[str, str]) -> float:
    """Seconds that a graceful stop waits: as requested, else the image's os_shutdown_timeout, else 60 (Nova).

    A property may ask for a day at most; one that is no number of seconds counts as absent: it must not keep anybody
    from stopping a guest.
    """
    if requested is not None:
        return max(0.0, requested)
    text = image_properties.get(_PROPERTY, "")
    if not (text.isascii() and text.isdigit()):
        return DEFAULT_SHUTDOWN_TIMEOUT
    return min(float(text), _MAX_SHUTDOWN_TIMEOUT)
