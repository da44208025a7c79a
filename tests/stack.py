"""The four services as real processes, each of which a test may stop, kill and start again.

Ports are chosen anew for every stack; everything lives under one short folder, since QEMU's sockets have long names.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import functools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from svckit.migrate import upgrade

SERVICES = ("image_svc", "netblock_svc", "compute_svc", "api_svc")
ROOT = Path(__file__).resolve().parents[1]
START_SECONDS = 60


@dataclass
class Stack:
    """Where the services are and how they are started. Use as a context manager."""

    libvirt_uri: str = "test:///default"
    settings: Mapping[str, str] = field(default_factory=dict)
    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="ps-", dir="/tmp")))
    addresses: dict[str, str] = field(default_factory=dict)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.addresses = self.addresses or {name: f"127.0.0.1:{free_port()}" for name in SERVICES}
        self.libvirt_uri = self.libvirt_uri.replace("ROOT", str(self.folder / "data/libvirt"))

    def __enter__(self) -> Self:
        reap_orphans()
        try:
            self._lay_out_databases()
            self.start(*SERVICES)
            self.wait_for_host()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def environment(self) -> dict[str, str]:
        """What the services are told."""
        ours = {
            "PROTOSTAR_DATA_DIR": str(self.folder / "data"),
            "PROTOSTAR_HOST_NAME": "here",
            "PROTOSTAR_LIBVIRT_URI": self.libvirt_uri,
            "PROTOSTAR_DRAIN_SECONDS": "5",
            **{f"PROTOSTAR_{name.removesuffix('_svc').upper()}_ADDRESS": a for name, a in self.addresses.items()},
            **self.settings,
        }
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PROTOSTAR_", "OTEL_"))}
        return {**inherited, **ours}

    def command(self, name: str) -> list[str]:
        """How a service is started."""
        return [sys.executable, "-m", name]

    def launch(self, *names: str, **extra: str) -> None:
        """Start services, and leave it to them when they serve."""
        for name in names:
            with self.log(name).open("ab") as log:
                self.processes[name] = subprocess.Popen(
                    self.command(name),
                    env={**self.environment(), **extra},
                    cwd=ROOT,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,  # what it leaves behind is known by that, see the reaper
                )
            _SERVICES.add(self.processes[name].pid)

    def start(self, *names: str, **extra: str) -> None:
        """Start services and wait until each says SERVING."""
        self.launch(*names, **extra)
        for name in names:
            self.wait_until_serving(name)

    def stop(self, name: str) -> int:
        """SIGTERM, and its exit status."""
        process = self.processes.pop(name)
        process.terminate()
        return process.wait(30)

    def kill(self, name: str) -> None:
        """SIGKILL."""
        process = self.processes.pop(name)
        process.kill()
        process.wait(30)

    def close(self) -> None:
        """Stop everything, the guests too, and remove the folder."""
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(20)
            process.kill()
        self._kill_guests()
        shutil.rmtree(self.folder, ignore_errors=True)

    def log(self, name: str) -> Path:
        """What a service wrote."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return self.folder / f"{name}.log"

    def wait_until_serving(self, name: str) -> None:
        """Until its health says so; fails with its log if it dies first."""
        deadline = time.monotonic() + START_SECONDS
        with grpc.insecure_channel(self.addresses[name]) as channel:
            while time.monotonic() < deadline:
                if (process := self.processes.get(name)) and process.poll() is not None:
                    break
                with contextlib.suppress(grpc.RpcError):
                    stub = health_pb2_grpc.HealthStub(channel)
                    answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=1)
                    if answer.status == health_pb2.HealthCheckResponse.SERVING:
                        return
                time.sleep(0.05)
        raise AssertionError(f"{name} does not serve:\n{self.log(name).read_text()[-4000:]}")

    def wait_for_host(self) -> None:
        """Until api_svc has heard of the host."""
        from protostar.api.v1 import host_pb2, host_pb2_grpc

        deadline = time.monotonic() + START_SECONDS
        with grpc.insecure_channel(self.addresses["api_svc"]) as channel:
            stub = host_pb2_grpc.HostServiceStub(channel)
            while time.monotonic() < deadline:
                hosts = stub.ListHosts(host_pb2.ListHostsRequest(), timeout=5).hosts
                if any(host.state == host_pb2.HOST_STATE_UP for host in hosts):
                    return
                time.sleep(0.05)
        raise AssertionError(f"no host came up:\n{self.log('compute_svc').read_text()[-4000:]}")

    def spans(self, trace_id: str) -> list[dict[str, Any]]:
        """Every span of a trace, of all services, with `service` and flat `attributes` added."""
        found: list[dict[str, Any]] = []
        for path in (self.folder / "data/traces").glob("*.jsonl*"):
            for line in path.read_text().splitlines():
                if trace_id in line:
                    found.extend(span for span in _spans_of(json.loads(line)) if span["traceId"] == trace_id)
        return found

    def _lay_out_databases(self) -> None:
        """Migrated ones, made once a session: what a first start does is tried where services start alone."""
        (self.folder / "data").mkdir(exist_ok=True, parents=True)
        for name in ("api", "image", "netblock"):
            if f"PROTOSTAR_{name.upper()}_DATABASE_URL" not in self.settings:
                shutil.copy(_migrated(name), self.folder / "data")

    def _kill_guests(self) -> None:
        for pid_file in (self.folder / "data/libvirt").glob("run/qemu/*.pid"):
            with contextlib.suppress(ProcessLookupError, ValueError):
                os.kill(int(pid_file.read_text()), signal.SIGKILL)


@functools.cache
def _migrated(name: str) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="ps-empty-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = folder / f"{name}.sqlite3"
    upgrade(f"sqlite+aiosqlite:///{path}", ROOT / f"{name}_svc/adapters/migrations")
    return path


def _spans_of(request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for resource in request["resourceSpans"]:
        service = _flat(resource["resource"]["attributes"]).get("service.name")
        for scope in resource["scopeSpans"]:
            for span in scope["spans"]:
                yield {**span, "service": service, "attributes": _flat(span.get("attributes", []))}


def _flat(attributes: list[dict[str, Any]]) -> dict[str, Any]:
    return {entry["key"]: next(iter(entry["value"].values()), None) for entry in attributes}


def free_port() -> int:
    """A TCP port that nobody has right now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


_REAPING = threading.Event()


def reap_orphans() -> None:
    """Make this process the one that orphaned QEMUs fall to, and reap them: nobody else in a container does.

    libvirt's destroy waits until the zombie is gone. Children of `subprocess` are left to it.
    """
    if _REAPING.is_set():
        return
    _REAPING.set()
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
    threading.Thread(target=_reap_for_ever, daemon=True, name="reaper").start()


# Whoever started a child in a session of its own waits for it sooner.
_SOMEBODY_WAITS = 2.0


def _reap_for_ever() -> None:
    dead: dict[str, float] = {}
    while True:
        now = time.monotonic()
        dead = {pid: dead.get(pid, now) for pid in _children() if _is_dead_orphan(pid)}
        for pid, since in dead.items():
            if _comm(pid).startswith(_QEMU) or now - since > _SOMEBODY_WAITS:
                with contextlib.suppress(OSError):
                    os.waitpid(int(pid), os.WNOHANG)
        time.sleep(0.02)


def _children() -> Iterator[str]:
    for entry in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError):
            yield from entry.read_text().split()


_SERVICES: set[int] = set()  # are waited for by whoever started them
_QEMU = "qemu-system"  # not qemu-img, which is a child of whoever runs it and is waited for


def _is_dead_orphan(pid: str) -> bool:
    """A QEMU, or what would have become one when libvirt died: it is of another session, and dead."""
    with contextlib.suppress(OSError):
        state, _, _, session, *_ = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        stray = int(session) != os.getsid(0) and int(pid) not in _SERVICES
        return state == "Z" and (stray or _comm(pid).startswith(_QEMU))
    return False


def _comm(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text()
    except OSError:
        return ""
