"""What the use cases need from outside. Every method may raise svckit.errors and nothing else.

Times are seconds. A method that changes something may be repeated: it makes sure rather than does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol

from compute_svc.domain.guest import Guest, GuestEvent, HostFacts
from compute_svc.domain.journal import Journal
from compute_svc.domain.model import BlockDeviceInfo, DiskFacts, DomainPaths, InstanceSpec, Vif, WantedDisk

# Reasons of Unavailable that are libvirt's: not connected, or not answering.
LIBVIRT_AWAY = frozenset({"LIBVIRT_UNAVAILABLE", "LIBVIRT_UNRESPONSIVE"})


class GuestEvents(Protocol):
    """What happens to guests, from the moment it was asked for."""

    async def next(self, seconds: float) -> GuestEvent | None:
        """The next event, or None when there was none for so long."""
        ...


class Hypervisor(Protocol):
    """libvirt, by names and XML; it never learns what an instance means.

    Domains without our metadata are never listed and never touched: FailedPrecondition DOMAIN_NOT_OURS. A call that
    does not return in time raises Unavailable LIBVIRT_UNRESPONSIVE, which says nothing about its outcome: look again.
    """

    async def host(self) -> HostFacts:
        """The host, measured once per connection."""
        ...

    async def guest(self, uid: str) -> Guest:
        """One guest with its definition; `Guest.unknown` when there is no such domain."""
        ...

    async def guests(self) -> list[Guest]:
        """Every guest of ours, without definitions."""
        ...

    async def define(self, uid: str, xml: str) -> None:
        """Make this the definition, also in place of another one."""
        ...

    async def undefine(self, uid: str, *, keep_state: bool) -> None:
        """Forget the definition; NVRAM and TPM state stay with `keep_state` and go without it."""
        ...

    async def launch(self, uid: str) -> None:
        """Boot the defined guest. A guest that runs already is an error: FailedPrecondition DOMAIN_INVALID_STATE."""
        ...

    async def destroy(self, uid: str) -> None:
        """Cut the power. A guest that is off stays off."""
        ...

    async def shutdown(self, uid: str) -> None:
        """Press the ACPI power button once; a guest that is off stays off."""
        ...

    def watch(self, uid: str = "") -> AbstractContextManager[GuestEvents]:
        """Events of one guest, or of all, from now on."""
        ...

    async def log_size(self, uid: str) -> int:
        """Bytes in the hypervisor's log of this guest; grows with every launch, 0 when there is none."""
        ...

    async def log_tail(self, uid: str) -> str:
        """The last lines of the hypervisor's log of this guest."""
        ...


class Journals(Protocol):
    """One journal per instance, beside its disks.

    Between `sync`s a crash of the process loses nothing; power loss may take what was appended since. That is enough:
    after power loss no guest runs either, and steps measure before they act. Only the claim has to survive it, for
    fencing.
    """

    async def read(self, uid: str) -> Journal | None:
        """The newest journal of an instance, None if there never was one."""
        ...

    async def append(self, journal: Journal) -> None:
        """Make this the newest. Raises ResourceExhausted NO_SPACE when the disk is full."""
        ...

    async def sync(self, uid: str) -> None:
        """Return when the newest journal will survive power loss."""
        ...

    async def settle(self, uid: str) -> None:
        """Rewrite the file as the newest journal alone, durably."""
        ...

    async def sweep(self, now: datetime) -> list[str]:
        """Forget expired tombstones; answers the instances whose work was interrupted, or ended and was not settled."""
        ...


class Netblock(Protocol):
    """netblock_svc. Unavailable NETBLOCK_UNAVAILABLE when it is away."""

    async def network_info(self, uid: str, seconds: float) -> tuple[Vif, ...]:
        """The instance's VIFs in guest order."""
        ...

    async def block_device_info(self, spec: InstanceSpec, seconds: float) -> BlockDeviceInfo:
        """The instance's disks as wanted, with fresh connections of its volumes."""
        ...


class Disks(Protocol):
    """image_svc's side for instances. Unavailable IMAGE_UNAVAILABLE when it is away."""

    async def ensure(
        self, spec: InstanceSpec, disks: Sequence[WantedDisk], os_type: str, seconds: float
    ) -> list[DiskFacts]:
        """Make the base and the wanted disks be there and sound; what is really on disk, in the order asked for."""
        ...

    async def build_config_drive(self, uid: str, files: Mapping[str, bytes], digest: str, seconds: float) -> DiskFacts:
        """Replace the config drive."""
        ...

    async def remove(self, uid: str, names: Sequence[str], seconds: float) -> tuple[str, ...]:
        """Remove the named disks, or all when none is named; what was removed."""
        ...


class Folders(Protocol):
    """The folder of an instance: instances_path/<uid>."""

    def paths(self, uid: str) -> DomainPaths:
        """Where its files are. Does no I/O."""
        ...

    async def names(self, uid: str) -> frozenset[str] | None:
        """The names in it, None when it is not there."""
        ...

    async def make(self, uid: str) -> None:
        """Make it be there with the right owner and mode."""
        ...

    async def keep_aside(self, uid: str, name: str) -> None:
        """Keep a file as it is now, so that it can be restored after it was replaced."""
        ...

    async def restore(self, uid: str, name: str) -> None:
        """Bring back what was kept aside; without that, remove the file."""
        ...

    async def drop_kept(self, uid: str, name: str) -> None:
        """Forget what was kept aside."""
        ...

    async def remove(self, uid: str) -> None:
        """Remove it with everything in it. What is not there is no error."""
        ...


class Consoles(Protocol):
    """The serial console logs of guests."""

    async def begin_boot(self, uid: str, boot: int, operation: str, at: datetime) -> None:
        """Mark that a boot begins, once for each boot of each operation; rotates a log that has grown too long."""
        ...

    async def tail(self, uid: str, max_bytes: int) -> tuple[bytes, bool] | None:
        """The last bytes and whether there are more before them; None when there is no log."""
        ...
