"""Puts compute_svc together: the only file that names a concrete adapter."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog
from protostar.compute.v1 import compute_pb2, compute_pb2_grpc

from compute_svc.adapters.console_files import ConsoleFiles
from compute_svc.adapters.image_client import ImageClient
from compute_svc.adapters.instance_folders import InstanceFolders
from compute_svc.adapters.journal_files import JournalFiles
from compute_svc.adapters.libvirt_connection import Connection
from compute_svc.adapters.libvirt_events import Events
from compute_svc.adapters.libvirt_host import HostSettings
from compute_svc.adapters.libvirt_hypervisor import LibvirtHypervisor
from compute_svc.adapters.libvirt_threads import Threads
from compute_svc.adapters.netblock_client import NetblockClient
from compute_svc.adapters.qemu_log import QemuLogs
from compute_svc.config import ComputeSettings
from compute_svc.domain import domain_xml
from compute_svc.rpc.servicer import ComputeServicer
from compute_svc.usecases.host import Host
from compute_svc.usecases.watch import HostWatch
from compute_svc.usecases.works import Works
from svckit import channel
from svckit.clock import utcnow
from svckit.errors import ProtostarError
from svckit.server import Lifecycle, Servicer

log = structlog.get_logger(__name__)
SERVICE = compute_pb2.DESCRIPTOR.services_by_name["ComputeService"].full_name


async def build(lifecycle: Lifecycle, settings: ComputeSettings) -> Sequence[Servicer]:
    """Everything of this service, tied to the daemon's life.

    An embedded driver that cannot be opened ends the process with a word about why; a libvirtd that is away is waited
    for while everything else is served.
    """
    try:
        settings.instances_path.mkdir(mode=0o711, parents=True, exist_ok=True)
    except OSError as error:
        raise SystemExit(f"compute_svc cannot start: {error}") from None
    hypervisor = await _hypervisor(lifecycle, settings)
    netblock, image = channel.connect(settings.netblock_address), channel.connect(settings.image_address)
    lifecycle.on_close(netblock.close)
    lifecycle.on_close(image.close)
    host = Host(
        hypervisor=hypervisor,
        netblock=NetblockClient(netblock),
        disks=ImageClient(image),
        folders=InstanceFolders(settings.instances_path),
        consoles=ConsoleFiles(settings.instances_path),
        clock=utcnow,
        launching=asyncio.Semaphore(settings.heavy_steps),
        preparing=asyncio.Semaphore(settings.heavy_steps),
    )
    journals = JournalFiles(settings.instances_path)
    works = Works(journals, host, lambda uid: watching.work_ended(uid))
    lifecycle.run(_sweep(journals, works), "sweep")
    watching = HostWatch(host, journals, works.busy)
    lifecycle.run(watching.run(), "watch")
    # Handing back takes a moment itself, and has to be told to callers before their streams are cut.
    lifecycle.on_drain(lambda: works.drain(0.8 * settings.drain_seconds))
    servicer = ComputeServicer(host=host, works=works, watching=watching, draining=lifecycle.draining)
    return [Servicer(SERVICE, compute_pb2_grpc.add_ComputeServiceServicer_to_server, servicer)]


async def _hypervisor(lifecycle: Lifecycle, settings: ComputeSettings) -> LibvirtHypervisor:
    threads = Threads(settings.libvirt_threads, "libvirt")
    events = Events(domain_xml.domain_name)
    facts = HostSettings(name=settings.host_name, uri=settings.libvirt_uri, disks=settings.instances_path)
    connection = Connection(facts, threads, events)
    try:
        await connection.check()
    except ProtostarError as error:
        raise SystemExit(f"compute_svc cannot start: {error.message}") from None
    lifecycle.on_close(connection.close)
    lifecycle.run(connection.run(), "libvirt")
    return LibvirtHypervisor(
        connection,
        threads,
        events,
        QemuLogs.of(settings.libvirt_uri),
        name_of=domain_xml.domain_name,
        owned=domain_xml.owned,
    )


async def _sweep(journals: JournalFiles, works: Works) -> None:
    try:
        unsettled = await journals.sweep(utcnow())
        if unsettled:
            log.info("unsettled_work_found", instances=unsettled)
        await works.tidy(unsettled)
    except ProtostarError as error:  # nothing that cannot wait until the next start
        log.error("sweep_failed", error=error.message)
