"""The start: design.md section 6, step by step. Each step measures, acts if it has to, and can be undone.

A hard reboot is the same list on a guest that runs. A step that finds everything as it should be is skipped, so that
doing it again after a crash does nothing twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from compute_svc.domain import config_drive as drive
from compute_svc.domain import disks as disk_plan
from compute_svc.domain import domain_xml
from compute_svc.domain.guest import Guest, PowerObservation
from compute_svc.domain.model import BlockDeviceInfo, DiskFacts, DiskRole, InstanceSpec, Vif
from compute_svc.domain.results import PluggedPort, PluggedVolume, Started
from compute_svc.domain.undo import RemoveDisks, RemoveFolder, RestoreConfigDrive, RestoreDefinition
from compute_svc.ports import GuestEvents
from compute_svc.usecases.host import Host
from compute_svc.usecases.launching import decided, launch, running
from compute_svc.usecases.patience import patiently
from compute_svc.usecases.run import Run
from compute_svc.usecases.undoing import CONFIG_DRIVE
from svckit.errors import FailedPrecondition, Internal

A = TypeVar("A")
B = TypeVar("B")


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What netblock_svc says that the instance has."""

    vifs: tuple[Vif, ...]
    devices: BlockDeviceInfo


async def start(run: Run, host: Host, spec: InstanceSpec, *, repair: bool) -> Started:
    """Boot the guest of an instance from whatever state it is in."""
    resources = await ask_netblock(run, host, spec)
    return await rebuild(run, host, spec, resources, repair=repair)


async def rebuild(run: Run, host: Host, spec: InstanceSpec, resources: Resources, *, repair: bool) -> Started:
    """Everything after the questions: cut the power, prepare, define, boot."""
    with host.hypervisor.watch(run.uid) as events:
        guest = await destroy(run, host)
        if guest.active:
            return await _adopt(run, host, spec, resources, events)
        existing = await _instance_dir(run, host)
        plan = await disk_info(run, host, spec, resources.devices)
        facts = await _backing(run, host, spec, plan, existing)
        facts = await _config_drive(run, host, spec, resources.vifs, facts, repair=repair)
        xml = await _xml(run, host, spec, plan, facts, resources)
        changed = await _undefine(run, host, guest, xml, repair=repair)
        await _define(run, host, guest, xml, changed=changed)
        await launch(run, host)
        power = await running(run, host, events)
    fast = not changed and not _defined_by(run)
    return replace(plugged(power, resources, plan), fast_start=fast)


async def ask_netblock(run: Run, host: Host, spec: InstanceSpec) -> Resources:
    """The questions to netblock_svc, both at once."""
    vifs, devices = await _both(_network_info(run, host), _block_device_info(run, host, spec))
    return Resources(vifs=vifs, devices=devices)


async def _network_info(run: Run, host: Host) -> tuple[Vif, ...]:
    async with run.step("network_info") as step:
        vifs = await patiently(run, step, "netblock_svc", lambda left: host.netblock.network_info(run.uid, left))
        step.note(f"{len(vifs)} interfaces")
        return vifs


async def _block_device_info(run: Run, host: Host, spec: InstanceSpec) -> BlockDeviceInfo:
    async with run.step("block_device_info") as step:
        devices = await patiently(run, step, "netblock_svc", lambda left: host.netblock.block_device_info(spec, left))
        for volume in devices.volumes:
            if volume.connection_info is None:
                raise FailedPrecondition(
                    f"volume {volume.volume_id} has no connection to this host; detach it, or make it reachable",
                    reason="VOLUME_NOT_CONNECTED",
                    metadata={"volume": volume.volume_id},
                )
        step.note(f"{len(devices.volumes)} volumes")
        return devices


async def destroy(run: Run, host: Host) -> Guest:
    """The old guest is off. One that this very operation launched before it was interrupted stays, and is answered
    active.
    """
    async with run.step("destroy") as step:
        guest = await host.hypervisor.guest(run.uid)
        if not guest.active:
            step.skip("was off")
            return guest
        if await _launched_by(run, host):
            guest = await decided(run, host, guest)
            step.skip("runs already, launched by this operation" if guest.active else "its launch was cut short")
            return guest
        await step.ahead()
        await host.hypervisor.destroy(run.uid)
        await step.inside()
        off = await host.hypervisor.guest(run.uid)
        if off.active:
            raise Internal("the old guest is still there after its power was cut", reason="DOMAIN_STILL_ACTIVE")
        return off


async def _launched_by(run: Run, host: Host) -> bool:
    launched = run.journal.launch
    return launched is not None and launched.boot_id == (await host.hypervisor.host()).boot_id


async def _adopt(run: Run, host: Host, spec: InstanceSpec, resources: Resources, events: GuestEvents) -> Started:
    """The interruption came after the launch: everything was done, and nothing is done again."""
    plan = await disk_info(run, host, spec, resources.devices)
    async with run.step("launch") as step:
        step.note("launched before the interruption")
    return plugged(await running(run, host, events), resources, plan)


async def _instance_dir(run: Run, host: Host) -> frozenset[str]:
    async with run.step("instance_dir") as step:
        names = await host.folders.names(run.uid)
        if names is not None:
            step.skip("is there")
            return names
        await step.ahead(RemoveFolder())
        await host.folders.make(run.uid)
        await step.inside()
        return frozenset()


async def disk_info(run: Run, host: Host, spec: InstanceSpec, devices: BlockDeviceInfo) -> disk_plan.DiskPlan:
    """Which disk on which bus under which name."""
    async with run.step("disk_info") as step:
        plan = disk_plan.assign(spec, devices, (await host.hypervisor.host()).caps)
        step.note(", ".join(f"{disk.dev} {disk.name or disk.volume_id}" for disk in plan.disks))
        return plan


async def _backing(
    run: Run, host: Host, spec: InstanceSpec, plan: disk_plan.DiskPlan, existing: frozenset[str]
) -> list[DiskFacts]:
    async with run.step("backing") as step:
        wanted = disk_plan.wanted(plan, spec)
        missing = [disk.name for disk in wanted if disk.role is not DiskRole.CONFIG and disk.name not in existing]
        if missing:
            await step.ahead(RemoveDisks(names=tuple(missing)))
        os_type = spec.image_properties.get("os_type", "")
        async with host.turn(host.preparing, step):
            facts = await patiently(run, step, "image_svc", lambda left: host.disks.ensure(spec, wanted, os_type, left))
        await step.inside()
        step.note(", ".join(f"{disk.name} made" if disk.created else f"{disk.name} there" for disk in facts))
        return facts


async def _config_drive(
    run: Run, host: Host, spec: InstanceSpec, vifs: Sequence[Vif], facts: Sequence[DiskFacts], *, repair: bool
) -> list[DiskFacts]:
    """The config drive says what the instance is now (Nova never rebuilds it, and fails when it is missing)."""
    others = [disk for disk in facts if disk.name != CONFIG_DRIVE]
    there = next((disk for disk in facts if disk.name == CONFIG_DRIVE), None)
    async with run.step("config_drive") as step:
        if not spec.config_drive:
            step.skip("none wanted")
            return others
        files = drive.files(spec, vifs)
        digest = drive.digest(files)
        if there is not None and there.content_digest == digest and not repair:
            step.skip("up to date")
            return [*others, there]
        if not any(isinstance(entry, RestoreConfigDrive) for entry in run.journal.undo):
            await host.folders.keep_aside(run.uid, CONFIG_DRIVE)
        await step.ahead(RestoreConfigDrive())
        built = await patiently(
            run, step, "image_svc", lambda left: host.disks.build_config_drive(run.uid, files, digest, left)
        )
        await step.inside()
        step.note("rebuilt" if there else "built")
        return [*others, built]


async def _xml(
    run: Run,
    host: Host,
    spec: InstanceSpec,
    plan: disk_plan.DiskPlan,
    facts: Sequence[DiskFacts],
    resources: Resources,
) -> str:
    async with run.step("xml") as step:
        caps = (await host.hypervisor.host()).caps
        paths = host.folders.paths(run.uid)
        xml = domain_xml.build(spec, plan, facts, resources.vifs, resources.devices.volumes, caps, paths)
        step.note(f"digest {domain_xml.digest_of(xml)}")
        return xml


async def _undefine(run: Run, host: Host, guest: Guest, xml: str, *, repair: bool) -> bool:
    """Away with a definition that will change; whether there is one to be made."""
    async with run.step("undefine") as step:
        if guest.definition is None:
            step.skip("nothing was defined")
            return True
        same = domain_xml.digest_of(guest.definition) == domain_xml.digest_of(xml)
        if same and (not repair or _defined_by(run)):
            step.skip("the definition stays")
            return False
        await step.ahead(RestoreDefinition(xml=guest.definition, first=run.journal.boots == 0))
        await host.hypervisor.undefine(run.uid, keep_state=True)
        await step.inside()
        return True


def _defined_by(run: Run) -> bool:
    """Whether this operation has already made the definition, before it was interrupted."""
    return any(isinstance(entry, RestoreDefinition) for entry in run.journal.undo)


async def _define(run: Run, host: Host, guest: Guest, xml: str, *, changed: bool) -> None:
    async with run.step("define") as step:
        if not changed:
            step.skip("unchanged")
            return
        await step.ahead(RestoreDefinition(xml=guest.definition, first=run.journal.boots == 0))
        await host.hypervisor.define(run.uid, xml)
        await step.inside()


def plugged(power: PowerObservation, resources: Resources, plan: disk_plan.DiskPlan) -> Started:
    """What runs now, and with what."""
    devices = {disk.volume_id: disk.dev for disk in plan.disks if disk.volume_id}
    return Started(
        power=power,
        ports=tuple(_port(vif) for vif in resources.vifs),
        volumes=tuple(
            PluggedVolume(volume=volume.volume_id, device=devices.get(volume.volume_id, ""))
            for volume in resources.devices.volumes
        ),
    )


def _port(vif: Vif) -> PluggedPort:
    addresses = tuple(ip.address for subnet in vif.network.subnets for ip in subnet.ips)
    return PluggedPort(port=vif.id, network=vif.network.id, mac_address=vif.address, ip_addresses=addresses)


async def _both(one: Coroutine[None, None, A], other: Coroutine[None, None, B]) -> tuple[A, B]:
    """Both at once; when one fails the other is cancelled, and the first error is the one that counts."""
    try:
        async with asyncio.TaskGroup() as group:
            first, second = group.create_task(one), group.create_task(other)
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return first.result(), second.result()
