"""A guest as libvirt sees it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from compute_svc.domain.model import HostCaps, PowerState


@dataclass(frozen=True, kw_only=True)
class Guest:
    """One look at a guest.

    `active` means that a hypervisor process or its like exists, which is what "not off" means. `definition` is the XML
    that the next launch would use, None when nothing is defined. `reason` is libvirt's word for why it is so.
    """

    uid: str
    active: bool
    power: PowerState
    reason: str = ""
    definition: str | None = None

    @property
    def half_launched(self) -> bool:
        """libvirt died while it started this guest, and has not decided yet: it goes on with it or kills it."""
        return self.active and self.power is PowerState.PAUSED and self.reason == "starting up"

    @classmethod
    def unknown(cls, uid: str) -> Guest:
        """libvirt knows no such domain."""
        return cls(uid=uid, active=False, power=PowerState.NO_STATE, reason="undefined")


@dataclass(frozen=True, kw_only=True)
class GuestEvent:
    """Something that libvirt says happened; `uid` is empty when all guests are to be looked at again."""

    uid: str
    reason: str
    ends: bool = False


@dataclass(frozen=True, kw_only=True)
class PowerObservation:
    """What libvirt said about a guest, and when; `generation` is the newest whose work has ended here."""

    uid: str
    power: PowerState
    observed_at: datetime
    reason: str = ""
    generation: int = 0


@dataclass(frozen=True, kw_only=True)
class HostFacts:
    """What is published of this host; versions are libvirt's integers (9000000 for 9.0.0)."""

    name: str
    connection: str
    caps: HostCaps
    vcpus: int
    memory_mib: int
    boot_id: str
