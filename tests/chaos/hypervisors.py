"""What libvirt has, seen without asking compute_svc's opinion where that can be had."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import grpc
from protostar.api.v1 import instance_pb2
from protostar.compute.v1 import compute_pb2, compute_pb2_grpc

from tests.chaos.arena import Arena
from tests.libvirtd import virsh

_STRANGER = "etc/qemu/stranger.xml"
_DEFINITION = """<domain type='qemu'><name>stranger</name><uuid>00000000-1111-4222-8333-444444444444</uuid>
<memory unit='MiB'>32</memory><os><type arch='x86_64'>hvm</type></os></domain>
"""


def introduce_stranger(arena: Arena) -> None:
    """Have libvirt find a domain that is not ours when it is first opened."""
    path = arena.data / "libvirt" / _STRANGER
    path.parent.mkdir(parents=True)
    path.write_text(_DEFINITION)


def of(arena: Arena) -> TestDriver | Embedded | System:
    """The one that fits."""
    kinds = {"qemu:///embed": Embedded, "qemu:///system": System}
    return kinds.get(arena.libvirt_uri.partition("?")[0], TestDriver)(arena)


class TestDriver:
    """`test:///default` lives inside compute_svc and dies with it, so compute_svc's first snapshot has to do."""

    __test__ = False

    def __init__(self, arena: Arena) -> None:
        self._arena = arena

    def running(self) -> set[str]:
        return {uid for uid, power in self._snapshot().items() if power == instance_pb2.POWER_STATE_RUNNING}

    def defined(self) -> set[str]:
        return set(self._snapshot())

    def wrong(self) -> Iterator[str]:
        yield from (f"{name} died by itself" for name in self._arena.fallen())

    def _snapshot(self) -> dict[str, int]:
        with grpc.insecure_channel(self._arena.addresses["compute_svc"]) as channel:
            stub = compute_pb2_grpc.ComputeServiceStub(channel)
            for told in stub.WatchHost(compute_pb2.WatchHostRequest(), timeout=10):
                if told.HasField("snapshot"):
                    return {seen.uid: seen.power_state for seen in told.snapshot.observations}
        raise AssertionError("compute_svc told nothing")


class Embedded:
    """`qemu:///embed`: its root's files, and the QEMU processes that the kernel knows."""

    def __init__(self, arena: Arena) -> None:
        self._arena = arena
        self._root = arena.data / "libvirt"
        stranger = self._root / _STRANGER
        self._strange = stranger.read_text() if stranger.exists() else None

    def running(self) -> set[str]:
        return set(self.processes())

    def defined(self) -> set[str]:
        return {path.stem.removeprefix("instance-") for path in self._definitions() if path.stem != "stranger"}

    def wrong(self) -> Iterator[str]:
        yield from (f"{name} died by itself" for name in self._arena.fallen())
        for uid, pids in self.processes().items():
            if len(pids) > 1:
                yield f"instance {uid} has {len(pids)} QEMU processes: {pids}"
        stranger = self._root / _STRANGER
        if self._strange is not None and (not stranger.exists() or stranger.read_text() != self._strange):
            yield "a domain that is not ours was touched"

    def processes(self) -> dict[str, list[int]]:
        """Guests by instance, as the kernel sees them."""
        found: dict[str, list[int]] = {}
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                command = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            named = next((word for word in command if word.startswith(b"guest=instance-")), b"")
            if named and any(os.fsencode(self._root) in word for word in command):
                uid = named.decode().removeprefix("guest=instance-").split(",")[0]
                found.setdefault(uid, []).append(int(entry.name))
        return found

    def launches(self, uid: str) -> int:
        """How often libvirt has begun to start QEMU."""
        path = self._root / f"log/qemu/instance-{uid}.log"
        return path.read_text(errors="replace").count(": starting up libvirt version") if path.exists() else 0

    def _definitions(self) -> Iterator[Path]:
        return (self._root / "etc/qemu").glob("*.xml")


class System:
    """`qemu:///system`: libvirtd is asked, and of its domains those count whose disks are ours."""

    def __init__(self, arena: Arena) -> None:
        self._arena = arena

    def running(self) -> set[str]:
        return self._ours("list", "--uuid")

    def defined(self) -> set[str]:
        return self._ours("list", "--uuid", "--all")

    def wrong(self) -> Iterator[str]:
        yield from (f"{name} died by itself" for name in self._arena.fallen())

    def remove_all(self) -> None:
        """Nothing of ours is left behind in the machine's libvirt."""
        for uid in self.running():
            virsh("destroy", uid)
        for uid in self.defined():
            virsh("undefine", uid)

    def _ours(self, *listing: str) -> set[str]:
        return {uid for uid in virsh(*listing).split() if str(self._arena.data) in virsh("dumpxml", uid)}
