"""Honest stand-ins for compute_svc's ports, in memory; contract tests hold them and the real things to the same
promises.

`World` is the host's hardware, so to say: it survives a crash of compute_svc, which a test plays by building new
`Works` over the same world.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from compute_svc.domain import domain_xml
from compute_svc.domain.guest import Guest, GuestEvent, HostFacts
from compute_svc.domain.journal import Journal
from compute_svc.domain.model import (
    BlockDeviceInfo,
    DiskFacts,
    DiskRole,
    DomainPaths,
    DomainType,
    HostCaps,
    ImageBlockDevice,
    InstanceSpec,
    PowerState,
    Vif,
    WantedDisk,
)
from svckit.errors import FailedPrecondition, Internal, NotFound, ProtostarError, Unavailable

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@dataclass
class World:
    """What is on the host: definitions, guests, files, journals."""

    definitions: dict[str, str] = field(default_factory=dict)
    running: dict[str, PowerState] = field(default_factory=dict)
    off_reason: dict[str, str] = field(default_factory=dict)
    boots: dict[str, int] = field(default_factory=dict)
    logs: dict[str, int] = field(default_factory=dict)
    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    journals: dict[str, Journal] = field(default_factory=dict)
    boot_id: str = "boot-1"

    def picture(self, uid: str) -> object:
        """What a failed start must leave as it was. The console log keeps the marker of a boot that failed."""
        files = self.files.get(uid)
        kept = None if files is None else {name: data for name, data in files.items() if name != "console.log"}
        return (self.definitions.get(uid), self.running.get(uid), kept)


@dataclass
class Trouble:
    """What goes wrong: raise once, or each time, or wait, at a named call."""

    raises: dict[str, ProtostarError] = field(default_factory=dict)
    once: dict[str, ProtostarError] = field(default_factory=dict)
    gates: dict[str, asyncio.Event] = field(default_factory=dict)
    reached: dict[str, asyncio.Event] = field(default_factory=dict)

    def hold(self, call: str) -> asyncio.Event:
        """Calls of this name wait until the returned event is set."""
        self.reached[call] = asyncio.Event()
        return self.gates.setdefault(call, asyncio.Event())

    async def at(self, call: str) -> None:
        if call in self.reached:
            self.reached[call].set()
        if call in self.gates:
            await self.gates[call].wait()
        await asyncio.sleep(0)
        if call in self.once:
            raise self.once.pop(call)
        if call in self.raises:
            raise self.raises[call]


class FakeEvents:
    def __init__(self) -> None:
        self.queue: asyncio.Queue[GuestEvent] = asyncio.Queue()

    async def next(self, seconds: float) -> GuestEvent | None:
        try:
            async with asyncio.timeout(seconds):
                return await self.queue.get()
        except TimeoutError:
            return None


class FakeHypervisor:
    """A guest follows the power button when `obeys` says so."""

    def __init__(self, world: World, trouble: Trouble | None = None) -> None:
        self.world = world
        self.trouble = trouble or Trouble()
        self.obeys = True
        self.foreign: set[str] = set()
        self.born: PowerState = PowerState.RUNNING
        self.dies_at_once = False
        self.presses = 0
        self._watchers: set[tuple[str, FakeEvents]] = set()

    async def host(self) -> HostFacts:
        await self.trouble.at("host")
        caps = HostCaps(domain_type=DomainType.TEST)
        return HostFacts(
            name="here", connection="fake", caps=caps, vcpus=2, memory_mib=4096, boot_id=self.world.boot_id
        )

    async def guest(self, uid: str) -> Guest:
        await self.trouble.at("look")
        return self._look(uid)

    async def guests(self) -> list[Guest]:
        await self.trouble.at("list")
        known = sorted({*self.world.definitions, *self.world.running} - self.foreign)
        return [replace(self._look(uid), definition=None) for uid in known]

    async def define(self, uid: str, xml: str) -> None:
        await self.trouble.at("define")
        self._refuse_foreign(uid)
        self.world.definitions[uid] = xml
        await self.trouble.at("define after")

    async def undefine(self, uid: str, *, keep_state: bool) -> None:
        await self.trouble.at("undefine")
        self._refuse_foreign(uid)
        if self.world.definitions.pop(uid, None) is not None:
            self._tell(uid, "undefined")
        await self.trouble.at("undefine after")

    async def launch(self, uid: str) -> None:
        await self.trouble.at("launch")
        self._refuse_foreign(uid)
        if uid not in self.world.definitions:
            raise NotFound("no such domain", reason="DOMAIN_NOT_FOUND")
        if uid in self.world.running:
            raise FailedPrecondition("it runs already", reason="DOMAIN_INVALID_STATE")
        self.world.logs[uid] = self.world.logs.get(uid, 0) + 100
        if self.dies_at_once:
            raise Internal("qemu exited while connecting to monitor", reason="LIBVIRT_FAILED")
        self.world.boots[uid] = self.world.boots.get(uid, 0) + 1
        self.world.running[uid] = self.born
        self._tell(uid, "booted")
        await self.trouble.at("launch after")

    async def destroy(self, uid: str) -> None:
        await self.trouble.at("destroy")
        self._refuse_foreign(uid)
        self.end(uid, "destroyed")
        await self.trouble.at("destroy after")

    async def shutdown(self, uid: str) -> None:
        await self.trouble.at("shutdown")
        self._refuse_foreign(uid)
        self.presses += 1
        if self.obeys:
            self.end(uid, "shutdown")

    @contextlib.contextmanager
    def watch(self, uid: str = "") -> Iterator[FakeEvents]:
        entry = (uid, FakeEvents())
        self._watchers.add(entry)
        try:
            yield entry[1]
        finally:
            self._watchers.discard(entry)

    async def log_size(self, uid: str) -> int:
        return self.world.logs.get(uid, 0)

    async def log_tail(self, uid: str) -> str:
        return "qemu: terminating" if self.world.logs.get(uid) else ""

    def end(self, uid: str, reason: str) -> None:
        """The guest goes off, by whatever reason."""
        if self.world.running.pop(uid, None) is not None:
            self.world.off_reason[uid] = reason
            self._tell(uid, reason, ends=True)

    def becomes(self, uid: str, power: PowerState, reason: str) -> None:
        """The guest changes its state without going off."""
        self.world.running[uid] = power
        self._tell(uid, reason)

    def lag(self) -> None:
        """Everything may have changed."""
        self._tell("", "reconnected")

    def _look(self, uid: str) -> Guest:
        self._refuse_foreign(uid)
        power = self.world.running.get(uid)
        definition = self.world.definitions.get(uid)
        if power is None and definition is None:
            return Guest.unknown(uid)
        reason = "started" if power else self.world.off_reason.get(uid, "")
        return Guest(
            uid=uid,
            active=power is not None,
            power=power or PowerState.SHUTDOWN,
            reason=reason,
            definition=definition,
        )

    def _refuse_foreign(self, uid: str) -> None:
        if uid in self.foreign:
            raise FailedPrecondition("not ours", reason="DOMAIN_NOT_OURS")

    def _tell(self, uid: str, reason: str, *, ends: bool = False) -> None:
        for wanted, events in self._watchers:
            if not uid or wanted in ("", uid):
                events.queue.put_nowait(GuestEvent(uid=uid, reason=reason, ends=ends))


class FakeJournals:
    """In memory, which is the world's: what was appended survives a crash of the service."""

    def __init__(self, world: World, trouble: Trouble | None = None) -> None:
        self.world = world
        self.trouble = trouble or Trouble()
        self.synced: dict[str, Journal] = {}

    async def read(self, uid: str) -> Journal | None:
        await self.trouble.at("journal read")
        return self.world.journals.get(uid)

    async def append(self, journal: Journal) -> None:
        await self.trouble.at("journal append")
        self.world.journals[journal.uid] = journal

    async def sync(self, uid: str) -> None:
        await self.trouble.at("journal sync")
        self.synced[uid] = self.world.journals[uid]

    async def settle(self, uid: str) -> None:
        await self.trouble.at("journal settle")
        self.synced[uid] = self.world.journals[uid]

    async def sweep(self, now: datetime) -> list[str]:
        for uid, journal in list(self.world.journals.items()):
            if journal.expired(now):
                del self.world.journals[uid]
        return sorted(uid for uid, journal in self.world.journals.items() if not journal.settled)


class FakeNetblock:
    def __init__(self, trouble: Trouble | None = None) -> None:
        self.trouble = trouble or Trouble()
        self.vifs: tuple[Vif, ...] = ()
        self.devices: Callable[[InstanceSpec], BlockDeviceInfo] = lambda spec: BlockDeviceInfo(
            image=(ImageBlockDevice(image_id=spec.image, size_gib=spec.flavor.root_gib),)
        )

    async def network_info(self, uid: str, seconds: float) -> tuple[Vif, ...]:
        await self.trouble.at("network_info")
        return self.vifs

    async def block_device_info(self, spec: InstanceSpec, seconds: float) -> BlockDeviceInfo:
        await self.trouble.at("block_device_info")
        return self.devices(spec)


class FakeDisks:
    """image_svc over the world's files; a config drive's content is its digest."""

    def __init__(self, world: World, trouble: Trouble | None = None) -> None:
        self.world = world
        self.trouble = trouble or Trouble()

    async def ensure(
        self, spec: InstanceSpec, disks: Sequence[WantedDisk], os_type: str, seconds: float
    ) -> list[DiskFacts]:
        await self.trouble.at("ensure")
        files = self._folder(spec.uid)
        facts = []
        for disk in disks:
            if disk.role is DiskRole.CONFIG and disk.name not in files:
                continue
            created = disk.name not in files
            files.setdefault(disk.name, b"data of " + disk.name.encode())
            facts.append(self._facts(spec.uid, disk.name, created=created))
        await self.trouble.at("ensure after")
        return facts

    async def build_config_drive(self, uid: str, files: Mapping[str, bytes], digest: str, seconds: float) -> DiskFacts:
        await self.trouble.at("build_config_drive")
        self._folder(uid)["disk.config"] = digest.encode()
        await self.trouble.at("build_config_drive after")
        return self._facts(uid, "disk.config", created=True)

    async def remove(self, uid: str, names: Sequence[str], seconds: float) -> tuple[str, ...]:
        await self.trouble.at("remove")
        files = self.world.files.get(uid, {})
        gone = [name for name in sorted(files) if name.startswith("disk") and (not names or name in names)]
        for name in gone:
            del files[name]
        return tuple(gone)

    def _folder(self, uid: str) -> dict[str, bytes]:
        if uid not in self.world.files:
            raise Internal("the instance has no folder", reason="FILE_SYSTEM")
        return self.world.files[uid]

    def _facts(self, uid: str, name: str, *, created: bool) -> DiskFacts:
        config = name == "disk.config"
        return DiskFacts(
            name=name,
            path=f"/instances/{uid}/{name}",
            type="raw" if config else "qcow2",
            created=created,
            content_digest=self.world.files[uid][name].decode() if config else "",
        )


class FakeFolders:
    def __init__(self, world: World, trouble: Trouble | None = None) -> None:
        self.world = world
        self.trouble = trouble or Trouble()
        self.kept: dict[tuple[str, str], bytes] = {}

    def paths(self, uid: str) -> DomainPaths:
        return DomainPaths(instance_dir=f"/instances/{uid}", console_log=f"/instances/{uid}/console.log")

    async def names(self, uid: str) -> frozenset[str] | None:
        await self.trouble.at("names")
        files = self.world.files.get(uid)
        return None if files is None else frozenset(files)

    async def make(self, uid: str) -> None:
        await self.trouble.at("make")
        self.world.files.setdefault(uid, {})
        await self.trouble.at("make after")

    async def keep_aside(self, uid: str, name: str) -> None:
        self.kept.pop((uid, name), None)
        if name in self.world.files[uid]:
            self.kept[uid, name] = self.world.files[uid][name]

    async def restore(self, uid: str, name: str) -> None:
        await self.trouble.at("restore")
        kept = self.kept.pop((uid, name), None)
        if kept is not None:
            self.world.files[uid][name] = kept
        else:
            self.world.files.get(uid, {}).pop(name, None)

    async def drop_kept(self, uid: str, name: str) -> None:
        self.kept.pop((uid, name), None)

    async def remove(self, uid: str) -> None:
        await self.trouble.at("remove folder")
        self.world.files.pop(uid, None)


class FakeConsoles:
    def __init__(self, world: World) -> None:
        self.world = world
        self.marks: list[tuple[str, int, str]] = []

    async def begin_boot(self, uid: str, boot: int, operation: str, at: datetime) -> None:
        mark = (uid, boot, operation)
        if mark not in self.marks:
            self.marks.append(mark)
            files = self.world.files[uid]
            files["console.log"] = files.get("console.log", b"") + f"boot {boot}\n".encode()

    async def tail(self, uid: str, max_bytes: int) -> tuple[bytes, bool] | None:
        log = self.world.files.get(uid, {}).get("console.log")
        return None if log is None else (log[-max_bytes:], len(log) > max_bytes)


def away(reason: str) -> Unavailable:
    """A peer, or libvirt, that is not there."""
    return Unavailable("away", reason=reason)


def foreign_domain(uid: str) -> str:
    """A domain that somebody else made under a UUID of ours."""
    return f"<domain type='test'><name>{domain_xml.domain_name(uid)}</name><uuid>{uid}</uuid></domain>"
