"""The delete: guest, definition with its NVRAM and TPM, disks, folder with the console log.

It only goes forward: nothing that was removed is brought back, a delete that was interrupted or cancelled says how far
it came, and doing it again finishes it.
"""

from __future__ import annotations

from compute_svc.domain.guest import Guest
from compute_svc.domain.results import Deleted
from compute_svc.usecases.host import Host
from compute_svc.usecases.patience import patiently
from compute_svc.usecases.run import Run
from svckit.errors import Internal


async def delete(run: Run, host: Host) -> Deleted:
    """Leave nothing of an instance on this host. What is not there is no error."""
    guest = await _destroy(run, host)
    await _undefine(run, host, guest)
    await _disks(run, host)
    await _instance_dir(run, host)
    return Deleted()


async def _destroy(run: Run, host: Host) -> Guest:
    async with run.step("destroy") as step:
        guest = await host.hypervisor.guest(run.uid)
        if not guest.active:
            step.skip("was off")
            return guest
        await step.ahead()
        await host.hypervisor.destroy(run.uid)
        await step.inside()
        off = await host.hypervisor.guest(run.uid)
        if off.active:
            raise Internal("the guest is still there after its power was cut", reason="DOMAIN_STILL_ACTIVE")
        return off


async def _undefine(run: Run, host: Host, guest: Guest) -> None:
    async with run.step("undefine") as step:
        if guest.definition is None:
            step.skip("nothing was defined")
            return
        await step.ahead()
        await host.hypervisor.undefine(run.uid, keep_state=False)
        await step.inside()


async def _disks(run: Run, host: Host) -> None:
    async with run.step("disks") as step:
        if await host.folders.names(run.uid) is None:
            step.skip("no folder")
            return
        await step.ahead()
        removed = await patiently(run, step, "image_svc", lambda left: host.disks.remove(run.uid, (), left))
        await step.inside()
        step.note(", ".join(removed))


async def _instance_dir(run: Run, host: Host) -> None:
    async with run.step("instance_dir") as step:
        if await host.folders.names(run.uid) is None:
            step.skip("was not there")
            return
        await step.ahead()
        await host.folders.remove(run.uid)
        await step.inside()
