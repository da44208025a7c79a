"""The table of contents of a domain."""

from __future__ import annotations

from collections.abc import Sequence

from compute_svc.domain.disks import DiskPlan
from compute_svc.domain.model import DiskFacts, DomainPaths, HostCaps, InstanceSpec, Vif, VolumeBlockDevice


def domain_name(uid: str) -> str:
    """libvirt's name for the domain of an instance."""
    return f"instance-{uid}"


def build(
    spec: InstanceSpec,
    plan: DiskPlan,
    disks: Sequence[DiskFacts],
    vifs: Sequence[Vif],
    volumes: Sequence[VolumeBlockDevice],
    host: HostCaps,
    paths: DomainPaths,
) -> str:
    """The domain's XML; the same input gives the same bytes.

    :raise FailedPrecondition: UNSUPPORTED_HARDWARE, UNSUPPORTED_VIF, VOLUME_NOT_CONNECTED, UNSUPPORTED_VOLUME.
    :raise Internal: DISK_MISSING, a planned disk is not among `disks`.
    """
    raise NotImplementedError
