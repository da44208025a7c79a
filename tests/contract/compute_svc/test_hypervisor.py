"""The Hypervisor port: the fake, libvirt's test driver, and the real QEMU driver keep the same promises."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from compute_svc.adapters.libvirt_connection import Connection
from compute_svc.adapters.libvirt_events import Events
from compute_svc.adapters.libvirt_host import HostSettings
from compute_svc.adapters.libvirt_hypervisor import LibvirtHypervisor
from compute_svc.adapters.libvirt_threads import Threads
from compute_svc.adapters.qemu_log import QemuLogs
from compute_svc.domain import domain_xml
from compute_svc.domain.guest import GuestEvent
from compute_svc.domain.model import DomainType, PowerState
from compute_svc.ports import GuestEvents, Hypervisor
from svckit.errors import FailedPrecondition, NotFound
from tests.fakes.compute_ports import FakeHypervisor, World
from tests.stack import reap_orphans

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass
class Backend:
    """A hypervisor, the domain type it takes, and a way round it by which a foreign domain is made."""

    hypervisor: Hypervisor
    domain_type: str
    define_foreign: Callable[[str, str], object]
    real_guests: bool = False

    def xml(self, uid: str, note: str = "") -> str:
        return self.foreign_xml(uid).replace(
            "<memory", f"<metadata><p:instance xmlns:p='urn:protostar:libvirt:1'>{note}</p:instance></metadata><memory"
        )

    def foreign_xml(self, uid: str) -> str:
        """A machine without disks: its firmware finds nothing to boot and waits."""
        return (
            f"<domain type='{self.domain_type}'><name>{domain_xml.domain_name(uid)}</name><uuid>{uid}</uuid>"
            "<memory unit='MiB'>32</memory><vcpu>1</vcpu><os><type arch='ARCH'>hvm</type></os>"
            "<features><acpi/></features><devices/></domain>"
        ).replace("ARCH", "x86_64" if self.real_guests else "i686")


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["fake", "test", "embed"])
async def backend(request: pytest.FixtureRequest) -> AsyncIterator[Backend]:
    if request.param == "fake":
        fake = FakeHypervisor(World())
        yield Backend(fake, "test", lambda uid, xml: (fake.world.definitions.update({uid: xml}), fake.foreign.add(uid)))
        return
    # QEMU's sockets have long names: the root must be short.
    folder = Path(tempfile.mkdtemp(prefix="pc", dir="/tmp"))
    reap_orphans()
    uri = f"qemu:///embed?root={folder}" if request.param == "embed" else "test:///default"
    threads, events = Threads(4, "libvirt"), Events(domain_xml.domain_name)
    connection = Connection(HostSettings(name="here", uri=uri, disks=folder / "disks"), threads, events)
    await connection.check()
    running = asyncio.ensure_future(connection.run())
    hypervisor = LibvirtHypervisor(
        connection,
        threads,
        events,
        QemuLogs.of(uri),
        name_of=domain_xml.domain_name,
        owned=domain_xml.owned,
    )
    await connection.facts()
    domain_type = "qemu" if request.param == "embed" else "test"
    yield Backend(
        hypervisor,
        domain_type,
        lambda uid, xml: connection.current().defineXML(xml),
        real_guests=request.param == "embed",
    )
    for guest in await hypervisor.guests():
        await hypervisor.destroy(guest.uid)
        await hypervisor.undefine(guest.uid, keep_state=False)
    running.cancel()
    await connection.close()
    shutil.rmtree(folder)


@pytest.fixture
def uid() -> str:
    return str(uuid.uuid4())


async def _next(events: GuestEvents, reason: str) -> GuestEvent:
    async with asyncio.timeout(20):
        while True:
            event = await events.next(5)
            if event is not None and event.reason == reason:
                return event


async def test_what_is_not_there_is_unknown_and_stays_unchanged(backend: Backend, uid: str) -> None:
    hypervisor = backend.hypervisor
    await hypervisor.destroy(uid)
    await hypervisor.shutdown(uid)
    await hypervisor.undefine(uid, keep_state=True)
    guest = await hypervisor.guest(uid)
    assert (guest.active, guest.power, guest.definition) == (False, PowerState.NO_STATE, None)
    with pytest.raises(NotFound):
        await hypervisor.launch(uid)


async def test_a_definition_is_kept_replaced_and_forgotten(backend: Backend, uid: str) -> None:
    hypervisor = backend.hypervisor
    await hypervisor.define(uid, backend.xml(uid, "first-note"))
    guest = await hypervisor.guest(uid)
    assert (guest.active, guest.power) == (False, PowerState.SHUTDOWN)
    assert guest.definition is not None and domain_xml.owned(guest.definition) and "first-note" in guest.definition
    await hypervisor.define(uid, backend.xml(uid, "second-note"))
    changed = (await hypervisor.guest(uid)).definition
    assert changed is not None and "second-note" in changed and "first-note" not in changed
    await hypervisor.define(uid, guest.definition)
    assert (await hypervisor.guest(uid)).definition == guest.definition, "what was defined can be restored as it was"
    await hypervisor.undefine(uid, keep_state=True)
    assert (await hypervisor.guest(uid)).definition is None


async def test_a_guest_lives_from_launch_to_destroy(backend: Backend, uid: str) -> None:
    hypervisor = backend.hypervisor
    await hypervisor.define(uid, backend.xml(uid))
    before = await hypervisor.log_size(uid)
    with hypervisor.watch(uid) as events, hypervisor.watch() as all_events:
        await hypervisor.launch(uid)
        assert (await _next(events, "booted")).uid == uid
        guest = await hypervisor.guest(uid)
        assert (guest.active, guest.power) == (True, PowerState.RUNNING)
        assert guest.definition is not None
        with pytest.raises(FailedPrecondition):
            await hypervisor.launch(uid)
        await hypervisor.destroy(uid)
        event = await _next(events, "destroyed")
        assert event.ends
        while (await _next(all_events, "destroyed")).uid != uid:
            pass
    guest = await hypervisor.guest(uid)
    assert (guest.active, guest.power, guest.reason) == (False, PowerState.SHUTDOWN, "destroyed")
    await hypervisor.destroy(uid)
    if backend.real_guests:
        assert await hypervisor.log_size(uid) > before
        assert await hypervisor.log_tail(uid)
        await hypervisor.undefine(uid, keep_state=False)
        assert await hypervisor.log_size(uid) == 0, "nothing is left of a guest that goes for good"
    await hypervisor.undefine(uid, keep_state=False)


async def test_the_power_button_can_be_pressed(backend: Backend, uid: str) -> None:
    """A guest without an operating system does not follow; the others do."""
    hypervisor = backend.hypervisor
    await hypervisor.define(uid, backend.xml(uid))
    await hypervisor.launch(uid)
    with hypervisor.watch(uid) as events:
        await hypervisor.shutdown(uid)
        if not backend.real_guests:
            assert (await _next(events, "shutdown")).ends
            assert not (await hypervisor.guest(uid)).active
    await hypervisor.destroy(uid)
    await hypervisor.shutdown(uid)
    await hypervisor.undefine(uid, keep_state=False)


async def test_a_guest_that_runs_outlives_its_definition(backend: Backend, uid: str) -> None:
    hypervisor = backend.hypervisor
    await hypervisor.define(uid, backend.xml(uid))
    await hypervisor.launch(uid)
    await hypervisor.undefine(uid, keep_state=True)
    guest = await hypervisor.guest(uid)
    assert (guest.active, guest.definition) == (True, None)
    await hypervisor.destroy(uid)
    assert (await hypervisor.guest(uid)).power is PowerState.NO_STATE or not backend.real_guests


async def test_ours_are_listed_and_foreign_domains_are_not_touched(backend: Backend, uid: str) -> None:
    hypervisor, foreign = backend.hypervisor, str(uuid.uuid4())
    backend.define_foreign(foreign, backend.foreign_xml(foreign))
    await hypervisor.define(uid, backend.xml(uid))
    listed = {guest.uid: guest for guest in await hypervisor.guests()}
    assert uid in listed and foreign not in listed
    assert listed[uid].power is PowerState.SHUTDOWN
    for touch in (
        hypervisor.guest(foreign),
        hypervisor.destroy(foreign),
        hypervisor.shutdown(foreign),
        hypervisor.launch(foreign),
        hypervisor.undefine(foreign, keep_state=False),
        hypervisor.define(foreign, backend.xml(foreign)),
    ):
        with pytest.raises(FailedPrecondition) as refused:
            await touch
        assert refused.value.reason == "DOMAIN_NOT_OURS"
    await hypervisor.undefine(uid, keep_state=False)


async def test_many_guests_at_once(backend: Backend) -> None:
    hypervisor = backend.hypervisor
    uids = [str(uuid.uuid4()) for _ in range(3 if backend.real_guests else 20)]

    async def live(uid: str) -> PowerState:
        await hypervisor.define(uid, backend.xml(uid))
        await hypervisor.launch(uid)
        seen = (await hypervisor.guest(uid)).power
        await hypervisor.destroy(uid)
        await hypervisor.undefine(uid, keep_state=False)
        return seen

    assert await asyncio.gather(*(live(uid) for uid in uids)) == [PowerState.RUNNING] * len(uids)


async def test_the_host_is_known(backend: Backend) -> None:
    facts = await backend.hypervisor.host()
    assert facts.name == "here"
    assert facts.vcpus > 0 and facts.memory_mib > 0 and facts.boot_id
    assert (facts.caps.domain_type is DomainType.TEST) is not backend.real_guests
