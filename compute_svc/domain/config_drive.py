"""What is on the config drive. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from compute_svc.domain.model import InstanceSpec, Vif


def files(spec: InstanceSpec, vifs: Sequence[Vif], availability_zone: str = "nova") -> dict[str, bytes]:
    """Path on the drive to content; the same input gives the same bytes."""
    raise NotImplementedError


def digest(files: Mapping[str, bytes]) -> str:
    """SHA-256 over sorted paths and contents, 64 hex digits."""
    raise NotImplementedError


def hostname(display_name: str) -> str:
    """A display name made fit for a host name; empty when nothing of it is."""
    raise NotImplementedError
