"""A compute host, as it described itself and as it is used."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from api_svc.domain.states import HostState
from svckit.clock import Window


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """What a host says about itself."""

    name: str
    boot_id: str = ""
    connection: str = ""
    domain_type: str = ""
    arch: str = ""
    libvirt_version: str = ""
    hypervisor_version: str = ""
    vcpus: int = 0
    memory_mib: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Usage:
    """What was promised to the instances on a host."""

    instances: int = 0
    vcpus: int = 0
    memory_mib: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Host:
    """A host that api_svc knows, and where its compute_svc listens."""

    facts: Facts
    address: str
    last_seen: datetime
    state: HostState = HostState.UP
    usage: Usage = Usage()

    @property
    def name(self) -> str:
        """Its bare name."""
        return self.facts.name

    def is_silent(self, now: datetime, after: timedelta) -> bool:
        """Whether it was last heard of longer ago than `after`."""
        return self.last_seen not in Window.lately(now, after)
