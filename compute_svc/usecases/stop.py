"""The stop: ask the guest by ACPI, again every 10 s (Nova's retry interval), and cut the power when its time is up.

What happens to the guest arrives as libvirt's events; nothing is polled. Its definition and disks are not touched.
"""

from __future__ import annotations

import asyncio

from compute_svc.domain.guest import Guest
from compute_svc.domain.model import PowerState
from compute_svc.domain.results import StopMode, StopOutcome, Stopped
from compute_svc.ports import GuestEvents
from compute_svc.usecases.host import Host
from compute_svc.usecases.run import Run
from svckit.errors import Internal, ProtostarError

PRESS_AGAIN = 10.0


async def stop(run: Run, host: Host, *, mode: StopMode, grace: float) -> Stopped:
    """Bring a guest to off and say how it came to be off, also when an interruption hid the moment."""
    with host.hypervisor.watch(run.uid) as events:
        guest = await host.hypervisor.guest(run.uid)
        if mode is StopMode.GRACEFUL:
            guest = await shutdown(run, host, events, guest, grace)
        guest = await _destroy(run, host, guest)
    power = host.observed(guest, run.command.generation)
    return Stopped(power=power, outcome=_outcome(run))


async def shutdown(run: Run, host: Host, events: GuestEvents, guest: Guest, grace: float) -> Guest:
    """Ask it to shut itself down and wait; the guest as it is after that, which may be still on."""
    async with run.step("shutdown") as step:
        if not guest.active:
            if not run.journal.began("shutdown"):
                step.skip("was off")
            return guest
        if guest.power is PowerState.PAUSED:
            step.skip("a paused guest cannot hear the power button")
            return guest
        await step.ahead()
        guest = await _press_until_off(run, host, events, guest, grace)
        step.note(f"did not follow within {grace:g} s" if guest.active else "the guest shut itself down")
        await step.inside()
        return guest


async def _press_until_off(run: Run, host: Host, events: GuestEvents, guest: Guest, grace: float) -> Guest:
    clock = asyncio.get_running_loop().time
    until = clock() + grace
    while guest.active and clock() < until:
        await _press(run, host)
        again = min(clock() + PRESS_AGAIN, until)
        while guest.active and clock() < again:
            await events.next(again - clock())
            guest = await host.hypervisor.guest(run.uid)
    return guest


async def _press(run: Run, host: Host) -> None:
    """A guest that cannot be asked (no ACPI, its monitor busy) is not a failed stop: its time runs out."""
    try:
        await host.hypervisor.shutdown(run.uid)
    except Internal:
        return


async def _destroy(run: Run, host: Host, guest: Guest) -> Guest:
    async with run.step("destroy") as step:
        if not guest.active:
            if not run.journal.began("destroy"):
                step.skip("is off")
            return guest
        await step.ahead()
        await host.hypervisor.destroy(run.uid)
        await step.inside()
        guest = await host.hypervisor.guest(run.uid)
        if guest.active:
            raise _still_active(run)
        step.note("power cut")
        return guest


def _outcome(run: Run) -> StopOutcome:
    """By what was written down before it was done, so that a resumed stop tells the same as an undisturbed one."""
    if run.journal.began("destroy"):
        return StopOutcome.KILLED
    return StopOutcome.GUEST_STOPPED if run.journal.began("shutdown") else StopOutcome.ALREADY_OFF


def _still_active(run: Run) -> ProtostarError:
    return Internal(
        "the guest is still there after its power was cut; look at the hypervisor's log",
        reason="DOMAIN_STILL_ACTIVE",
        metadata={"instance": run.uid},
    )
