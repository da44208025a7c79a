"""What the parts of a domain may read. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from compute_svc.domain.buses import Buses, buses
from compute_svc.domain.disk_plan import DiskPlan
from compute_svc.domain.model import (
    DiskFacts,
    DomainPaths,
    DomainType,
    HostCaps,
    InstanceSpec,
    Vif,
    VolumeBlockDevice,
)


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """One guest, its disks by name, its volumes by id, and its host."""

    spec: InstanceSpec
    plan: DiskPlan
    disks: Mapping[str, DiskFacts]
    vifs: tuple[Vif, ...]
    volumes: Mapping[str, VolumeBlockDevice]
    host: HostCaps
    paths: DomainPaths
    buses: Buses

    @classmethod
    def of(
        cls,
        spec: InstanceSpec,
        plan: DiskPlan,
        disks: Sequence[DiskFacts],
        vifs: Sequence[Vif],
        volumes: Sequence[VolumeBlockDevice],
        host: HostCaps,
        paths: DomainPaths,
    ) -> Self:
        """What was asked for and found.

        :raise FailedPrecondition: UNSUPPORTED_HARDWARE.
        """
        return cls(
            spec=spec,
            plan=plan,
            disks={disk.name: disk for disk in disks},
            vifs=tuple(vifs),
            volumes={volume.volume_id: volume for volume in volumes},
            host=host,
            paths=paths,
            buses=buses(spec, host),
        )

    @property
    def properties(self) -> Mapping[str, str]:
        """The image's properties."""
        return self.spec.image_properties

    @property
    def is_windows(self) -> bool:
        """Whether the image says that it holds Windows."""
        return self.properties.get("os_type", "").lower() == "windows"

    @property
    def is_kvm(self) -> bool:
        """Whether the host's processor runs the guest."""
        return self.host.domain_type is DomainType.KVM

    @property
    def has_display(self) -> bool:
        """Whether there is something to look at."""
        return self.host.vnc and not self.host.embedded
