"""Booting a defined guest, exactly once for an operation, and seeing that it runs."""

from __future__ import annotations

import asyncio

from compute_svc.domain.guest import Guest, PowerObservation
from compute_svc.domain.journal import Launch
from compute_svc.domain.model import PowerState
from compute_svc.domain.undo import DestroyGuest
from compute_svc.ports import GuestEvents
from compute_svc.usecases.host import Host
from compute_svc.usecases.run import Run
from svckit.errors import DeadlineExceeded, Internal, ProtostarError

# A guest that was created paused (an I/O error, a hook) gets this long to go on by itself.
_RESUME_SECONDS = 10.0
# In the hypervisor's log: where a launch begins, and what is said by one that libvirt died over before QEMU was there.
_STARTS = ": starting up libvirt version"
_HELD_BACK = ("libvirtd quit during handshake", "Unable to notify parent process")
# No event tells that libvirt has decided about a guest that it found half launched.
_DECIDES = 0.25
# libvirt's reasons that only a guest that ran can have.
_RAN = frozenset({"shutdown", "destroyed", "crashed", "failed"})


async def launch(run: Run, host: Host) -> None:
    """Boot it. What was launched by this operation before an interruption, and has ended since, is not booted again.

    :raise Internal: DOMAIN_DIED.
    """
    hypervisor = host.hypervisor
    async with run.step("launch") as step, host.turn(host.launching, step):
        before = run.journal.launch
        now = Launch(boot_id=(await hypervisor.host()).boot_id, log_size=await hypervisor.log_size(run.uid))
        again = before is not None and before.boot_id == now.boot_id
        if again and before is not None and now.log_size > before.log_size:
            await _refuse_second_boot(run, host)
        boot = run.journal.boots + (not again)
        await step.ahead(DestroyGuest(), launch=now, boots=boot)
        await host.consoles.begin_boot(run.uid, boot, run.command.operation, run.clock())
        try:
            await hypervisor.launch(run.uid)
        except Internal as error:
            if await hypervisor.log_size(run.uid) > now.log_size:
                raise await _died(run, host, error.message) from error
            raise
        await step.inside()
        step.note(f"boot {boot}")


async def decided(run: Run, host: Host, guest: Guest) -> Guest:
    """The guest, once libvirt has decided about one that it was starting when it died.

    One that was still starting and is gone now never ran: that it was launched is forgotten, and it may be again.
    """
    if not guest.half_launched:
        return guest
    while guest.half_launched and run.remaining() > _DECIDES:
        await asyncio.sleep(_DECIDES)
        guest = await host.hypervisor.guest(run.uid)
    if not guest.active:
        await run.ahead(launch=None, boots=run.journal.boots - 1)
    return guest


async def running(run: Run, host: Host, events: GuestEvents) -> PowerObservation:
    """A look at it, and when it is neither running nor dead, another one after each event: never a poll.

    :raise Internal: DOMAIN_DIED, with the tail of the hypervisor's log.
    :raise DeadlineExceeded: DOMAIN_PAUSED, it does not go on.
    """
    async with run.step("running") as step:
        until = asyncio.get_running_loop().time() + min(_RESUME_SECONDS, run.remaining())
        while True:
            guest = await host.hypervisor.guest(run.uid)
            if not guest.active:
                raise await _died(run, host, f"it is {guest.power.value} ({guest.reason or 'no reason given'})")
            if guest.power is PowerState.RUNNING:
                return host.observed(guest, run.command.generation)
            step.note(f"{guest.power.value}: {guest.reason}")
            left = until - asyncio.get_running_loop().time()
            if left <= 0 or await events.next(left) is None:
                raise _paused(guest)


async def _refuse_second_boot(run: Run, host: Host) -> None:
    """The log has grown since the launch was written down; libvirt says whether that guest ever ran.

    One whose launch was cut short ("daemon", "unknown") never executed an instruction and may be launched again.
    """
    guest = await host.hypervisor.guest(run.uid)
    if guest.reason in _RAN and not await _never_executed(run, host):
        raise await _died(run, host, f"it was launched, and ended before it was seen running ({guest.reason})")


async def _never_executed(run: Run, host: Host) -> bool:
    """Whether the last launch ended while libvirt still held the program back: its starter says so as its last word.

    libvirt calls such a guest crashed, since it finds no monitor.
    """
    _, _, last = (await host.hypervisor.log_tail(run.uid)).rpartition(_STARTS)
    return any(words in last for words in _HELD_BACK)


async def _died(run: Run, host: Host, why: str) -> ProtostarError:
    tail = await host.hypervisor.log_tail(run.uid)
    return Internal(
        f"the guest died at once: {why}; the hypervisor's log ends with what metadata's log_tail says",
        reason="DOMAIN_DIED",
        metadata={"instance": run.uid, "log_tail": tail},
    )


def _paused(guest: Guest) -> ProtostarError:
    return DeadlineExceeded(
        f"the guest is {guest.power.value} ({guest.reason or 'no reason given'}) and does not go on; look at its disks",
        reason="DOMAIN_PAUSED",
        metadata={"instance": guest.uid, "power_state": guest.power.value},
    )
