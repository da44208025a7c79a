"""A real start through the four services, against bare libvirt doing the same to the same XML.

Both sides take turns in one run, on the same connection kind (qemu:///embed), with the same disks: while one guest runs
the other side is off. Bare libvirt's side is undefine, define, create, in this process, on a root of its own.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import libvirt
from protostar.api.v1 import instance_pb2, instance_service_pb2

from tests.client import Client
from tests.stack import Stack

FORCE = instance_service_pb2.STOP_MODE_FORCE


@dataclass(frozen=True)
class RealStart:
    """Seconds of each round."""

    ours: list[float]
    repair: list[float]
    libvirt: list[float]


def measure(guest: Path, rounds: int, say: Callable[[str], None]) -> RealStart:
    """Start one guest `rounds` times each way: fast start, full rebuild, bare libvirt."""
    with Stack(libvirt_uri="qemu:///embed?root=ROOT") as stack:
        client = Client(stack.addresses["api_svc"])
        image = client.import_image(guest)
        instance = client.finish(client.create(image.name, "bench"), instance_pb2.Instance)
        _stop(client, instance.name)
        bare = _Bare(stack.folder / "bare")
        xml = (stack.folder / f"data/libvirt/etc/qemu/instance-{instance.uid}.xml").read_text()
        seen = RealStart([], [], [])
        bare.start(xml)  # once for nothing: libvirt's first start fills its caches, as ours has done above
        bare.stop()
        for number in range(rounds):
            say(f"real start {number + 1} of {rounds}")
            seen.ours.append(_timed(lambda: _start(client, instance.name, repair=False)))
            _stop(client, instance.name)
            seen.libvirt.append(_timed(lambda: bare.start(xml)))
            bare.stop()
            seen.repair.append(_timed(lambda: _start(client, instance.name, repair=True)))
            _stop(client, instance.name)
        client.close()
        return seen


def _start(client: Client, name: str, *, repair: bool) -> None:
    client.finish(client.start(name, repair=repair), instance_service_pb2.StartInstanceResponse)


def _stop(client: Client, name: str) -> None:
    client.finish(client.stop(name, mode=FORCE), instance_service_pb2.StopInstanceResponse)


def _timed(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


class _Bare:
    """libvirt and nothing else."""

    def __init__(self, root: Path) -> None:
        (root / "etc").mkdir(parents=True)
        settings = ('stdio_handler = "file"', 'security_driver = "none"', 'user = "root"', 'group = "root"')
        (root / "etc/qemu.conf").write_text("\n".join(settings) + "\n")
        libvirt.virEventRegisterDefaultImpl()
        threading.Thread(target=_run_events, daemon=True).start()
        self._connection = libvirt.open(f"qemu:///embed?root={root}")
        self._domain: libvirt.virDomain | None = None

    def start(self, xml: str) -> None:
        if self._domain is not None:
            self._domain.undefine()
        self._domain = self._connection.defineXML(xml)
        self._domain.create()

    def stop(self) -> None:
        assert self._domain is not None
        self._domain.destroy()


def _run_events() -> None:
    while True:
        libvirt.virEventRunDefaultImpl()
