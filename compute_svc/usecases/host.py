"""Everything that a procedure may use of this host, in one value."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from compute_svc.domain.guest import Guest, PowerObservation
from compute_svc.ports import Consoles, Disks, Folders, Hypervisor, Netblock
from compute_svc.usecases.run import RunningStep
from svckit.clock import Clock


@dataclass(frozen=True, kw_only=True)
class Host:
    """The ports, and how many heavy steps (booting, making disks) may be at it at once."""

    hypervisor: Hypervisor
    netblock: Netblock
    disks: Disks
    folders: Folders
    consoles: Consoles
    clock: Clock
    launching: asyncio.Semaphore
    preparing: asyncio.Semaphore

    @contextlib.asynccontextmanager
    async def turn(self, semaphore: asyncio.Semaphore, step: RunningStep) -> AsyncIterator[None]:
        """Wait until the host has room for one more heavy step, and say so while waiting."""
        if semaphore.locked():
            step.waiting_for("a free slot on this host")
        async with semaphore:
            step.waiting_for("")
            yield

    def observed(self, guest: Guest, generation: int, reason: str = "") -> PowerObservation:
        """What was just seen of a guest."""
        return PowerObservation(
            uid=guest.uid,
            power=guest.power,
            observed_at=self.clock(),
            reason=reason or guest.reason,
            generation=generation,
        )
