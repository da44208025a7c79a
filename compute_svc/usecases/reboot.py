"""The reboot. Soft: ask the guest by ACPI, wait until it is off, boot the definition that is there. Hard: the start's
list.

A soft one becomes hard when the guest does not follow, is off or paused, or has no definition to boot again.
"""

from __future__ import annotations

from dataclasses import replace

from compute_svc.domain.guest import Guest
from compute_svc.domain.model import InstanceSpec, PowerState
from compute_svc.domain.results import Rebooted, RebootMode
from compute_svc.ports import GuestEvents
from compute_svc.usecases.host import Host
from compute_svc.usecases.launching import decided, launch, running
from compute_svc.usecases.run import Run
from compute_svc.usecases.start import Resources, ask_netblock, disk_info, plugged, rebuild
from compute_svc.usecases.stop import shutdown

# Nova: wait_soft_reboot_seconds.
SOFT_TIMEOUT = 120.0


async def reboot(run: Run, host: Host, spec: InstanceSpec, *, mode: RebootMode, soft_timeout: float) -> Rebooted:
    """Boot a guest again; the result says which way it went in the end."""
    resources = await ask_netblock(run, host, spec)
    if mode is RebootMode.SOFT:
        done = await _softly(run, host, spec, resources, soft_timeout)
        if done is not None:
            return done
    started = await rebuild(run, host, spec, resources, repair=mode is RebootMode.HARD)
    return Rebooted(start=replace(started, fast_start=False), performed=RebootMode.HARD)


async def _softly(
    run: Run, host: Host, spec: InstanceSpec, resources: Resources, soft_timeout: float
) -> Rebooted | None:
    """None when it has to be done the hard way."""
    with host.hypervisor.watch(run.uid) as events:
        guest = await host.hypervisor.guest(run.uid)
        if run.journal.launch is not None:
            guest = await decided(run, host, guest)
        if not _can_be_asked(run, guest):
            return None
        guest = await _off(run, host, events, guest, soft_timeout)
        if guest.active and run.journal.launch is None:
            return None
        plan = await disk_info(run, host, spec, resources.devices)
        if not guest.active:
            await launch(run, host)
        power = await running(run, host, events)
    return Rebooted(start=plugged(power, resources, plan), performed=RebootMode.SOFT)


def _can_be_asked(run: Run, guest: Guest) -> bool:
    if run.journal.began("destroy"):
        return False  # it had become a hard one before it was interrupted
    asked = run.journal.began("shutdown")
    return guest.definition is not None and (asked or guest.power is PowerState.RUNNING)


async def _off(run: Run, host: Host, events: GuestEvents, guest: Guest, soft_timeout: float) -> Guest:
    """The guest after it was asked; one that this operation has launched again before an interruption is not asked."""
    if run.journal.launch is not None:
        return guest
    return await shutdown(run, host, events, guest, soft_timeout)
