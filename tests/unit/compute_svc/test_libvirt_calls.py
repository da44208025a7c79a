"""Calls to a libvirt that hangs, fails or goes away cost what they must and no more."""

from __future__ import annotations

import asyncio
import errno
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import libvirt
import pytest

from compute_svc.adapters import libvirt_embed, libvirt_host, libvirt_hypervisor, libvirt_threads
from compute_svc.adapters.libvirt_errors import translate
from compute_svc.adapters.libvirt_events import Events
from compute_svc.adapters.libvirt_hypervisor import LibvirtHypervisor
from compute_svc.adapters.libvirt_threads import Threads
from compute_svc.adapters.qemu_log import QemuLogs
from compute_svc.domain.guest import GuestEvent
from svckit import errors
from svckit.errors import FailedPrecondition, Unavailable

UID = "6f1d2c3b-0a4e-4f5b-9c8d-1e2f3a4b5c6d"
OTHER = "7f1d2c3b-0a4e-4f5b-9c8d-1e2f3a4b5c6d"


# --- threads ---


@pytest.fixture
def threads() -> Iterator[Threads]:
    made = Threads(2, "test")
    yield made
    made.close()


async def test_results_and_errors_come_back(threads: Threads) -> None:
    assert await threads.submit(lambda: 42).future == 42
    with pytest.raises(ZeroDivisionError):
        await threads.submit(lambda: 1 / 0).future


async def test_no_more_than_so_many_at_once(threads: Threads) -> None:
    lock, gate = threading.Lock(), threading.Event()
    now = most = 0

    def work() -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        gate.wait(10)
        with lock:
            now -= 1

    calls = [threads.submit(work) for _ in range(10)]
    while most < 2:
        await asyncio.sleep(0.001)
    await asyncio.sleep(0.05)
    gate.set()
    await asyncio.gather(*(call.future for call in calls))
    assert most == 2


async def test_hung_calls_do_not_stop_others(threads: Threads) -> None:
    gate = threading.Event()
    hung = [threads.submit(lambda: gate.wait(30)) for _ in range(2)]
    while not all(call.running for call in hung):
        await asyncio.sleep(0.001)
    waiting = threads.submit(lambda: "done")
    for call in hung:
        threads.give_up(call)
    assert await waiting.future == "done"
    gate.set()
    assert await hung[0].future is True, "a call that was given up still tells its end to whoever asks"


async def test_a_call_that_was_given_up_before_it_began_is_never_made(threads: Threads) -> None:
    gate, made = threading.Event(), []
    hung = [threads.submit(lambda: gate.wait(30)) for _ in range(2)]
    late = threads.submit(lambda: made.append(1))
    threads.give_up(late)
    gate.set()
    await asyncio.gather(*(call.future for call in hung))
    await threads.submit(lambda: None).future
    assert late.future.cancelled() and not made


async def test_when_too_many_hang_new_calls_are_refused_at_once(
    threads: Threads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(libvirt_threads, "_MOST_GIVEN_UP", 2)
    gate = threading.Event()
    hung = [threads.submit(lambda: gate.wait(30)) for _ in range(2)]
    while not all(call.running for call in hung):
        await asyncio.sleep(0.001)
    for call in hung:
        threads.give_up(call)
    with pytest.raises(Unavailable):
        threads.submit(lambda: None)
    gate.set()
    await asyncio.gather(*(call.future for call in hung))
    assert await threads.submit(lambda: "again").future == "again"


# --- a libvirt that hangs ---


class StubDomain:
    """A domain whose calls may hang until `gate` is set."""

    def __init__(self, uid: str, stub: StubLibvirt) -> None:
        self._uid, self._stub = uid, stub

    def XMLDesc(self, flags: int) -> str:
        return "<ours/>"

    def isActive(self) -> bool:
        return self._uid in self._stub.running

    def isPersistent(self) -> bool:
        return True

    def state(self) -> list[int]:
        self._stub.hang("state", self._uid)
        return [1 if self.isActive() else 5, 1]

    def create(self) -> None:
        self._stub.hang("create", self._uid)
        self._stub.running.add(self._uid)

    def destroy(self) -> None:
        self._stub.running.discard(self._uid)


class StubLibvirt:
    """Enough of a connection, and of a Connection, for one guest's life."""

    testing = False

    def __init__(self) -> None:
        self.running: set[str] = set()
        self.hanging: set[tuple[str, str]] = set()
        self.gate = threading.Event()
        self.reached = threading.Event()

    def hang(self, call: str, uid: str) -> None:
        if (call, uid) in self.hanging:
            self.reached.set()
            self.gate.wait(30)

    def current(self) -> Any:
        return self

    def suspect(self) -> None:
        pass

    def lookupByUUIDString(self, uid: str) -> StubDomain:
        return StubDomain(uid, self)


@pytest.fixture
def stub() -> Iterator[StubLibvirt]:
    made = StubLibvirt()
    yield made
    made.gate.set()


def _hypervisor(stub: Any, threads: Threads) -> LibvirtHypervisor:
    events = Events(lambda uid: f"instance-{uid}")
    return LibvirtHypervisor(
        stub, threads, events, QemuLogs(None), name_of=lambda uid: f"instance-{uid}", owned=lambda xml: "ours" in xml
    )


async def test_a_call_that_hangs_is_unavailable_and_others_go_on(
    stub: StubLibvirt, threads: Threads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(libvirt_hypervisor, "_READ_SECONDS", 0.05)
    hypervisor = _hypervisor(stub, threads)
    stub.hanging = {("state", UID)}
    for _ in range(5):
        with pytest.raises(Unavailable) as hung:
            await hypervisor.guest(UID)
        assert hung.value.reason == "LIBVIRT_UNRESPONSIVE"
    assert not (await hypervisor.guest(OTHER)).active


async def test_a_launch_that_was_given_up_is_destroyed_when_it_comes_through(
    stub: StubLibvirt, threads: Threads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(libvirt_hypervisor, "_LAUNCH_SECONDS", 0.05)
    hypervisor = _hypervisor(stub, threads)
    stub.hanging = {("create", UID)}
    with pytest.raises(Unavailable):
        await hypervisor.launch(UID)
    destroying = asyncio.ensure_future(hypervisor.destroy(UID))
    await asyncio.sleep(0.05)
    assert not destroying.done(), "nobody knows yet whether the guest comes"
    stub.gate.set()
    await destroying
    assert UID not in stub.running


async def test_a_launch_that_is_cancelled_is_waited_for_a_moment(stub: StubLibvirt, threads: Threads) -> None:
    hypervisor = _hypervisor(stub, threads)
    stub.hanging = {("create", UID)}
    launching = asyncio.ensure_future(hypervisor.launch(UID))
    while not stub.reached.is_set():
        await asyncio.sleep(0.001)
    launching.cancel()
    await asyncio.sleep(0.01)
    assert not launching.done()
    stub.gate.set()
    with pytest.raises(asyncio.CancelledError):
        await launching
    assert UID in stub.running, "whoever cancelled it knows now that there is something to undo"


async def test_a_change_waits_for_an_earlier_one_that_was_given_up(
    stub: StubLibvirt, threads: Threads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(libvirt_hypervisor, "_LAUNCH_SECONDS", 0.05)
    monkeypatch.setattr(libvirt_hypervisor, "_LATE_SECONDS", 0.05)
    hypervisor = _hypervisor(stub, threads)
    stub.hanging = {("create", UID)}
    with pytest.raises(Unavailable):
        await hypervisor.launch(UID)
    with pytest.raises(Unavailable):
        await hypervisor.define(UID, "<ours/>")


# --- its errors ---


def _libvirt_error(code: int, domain: int = 10, number: int = 0) -> libvirt.libvirtError:
    error = libvirt.libvirtError("words")
    error.err = (code, domain, "words", 2, "", "", "", number, 0)
    return error


@pytest.mark.parametrize(
    ("code", "kind", "reason"),
    [
        (libvirt.VIR_ERR_NO_DOMAIN, errors.NotFound, "DOMAIN_NOT_FOUND"),
        (libvirt.VIR_ERR_OPERATION_INVALID, errors.FailedPrecondition, "DOMAIN_INVALID_STATE"),
        (libvirt.VIR_ERR_OPERATION_TIMEOUT, errors.DeadlineExceeded, "LIBVIRT_TIMEOUT"),
        (libvirt.VIR_ERR_AGENT_UNRESPONSIVE, errors.Unavailable, "GUEST_AGENT_UNRESPONSIVE"),
        (libvirt.VIR_ERR_RESOURCE_BUSY, errors.ResourceExhausted, "LIBVIRT_BUSY"),
        (libvirt.VIR_ERR_CONFIG_UNSUPPORTED, errors.FailedPrecondition, "UNSUPPORTED_BY_HOST"),
        (libvirt.VIR_ERR_NO_CONNECT, errors.Unavailable, "LIBVIRT_UNAVAILABLE"),
        (libvirt.VIR_ERR_INTERNAL_ERROR, errors.Internal, "LIBVIRT_FAILED"),
    ],
)
def test_errors_are_translated_by_code(code: int, kind: type[errors.ProtostarError], reason: str) -> None:
    error = translate(_libvirt_error(code), "define")
    assert (type(error), error.reason) == (kind, reason)
    assert error.metadata == {"libvirt_code": str(code), "libvirt_call": "define"}
    assert "words" in error.message


def test_a_full_disk_and_a_broken_socket_are_known_by_their_numbers() -> None:
    full = translate(_libvirt_error(libvirt.VIR_ERR_SYSTEM_ERROR, number=errno.ENOSPC), "define")
    assert full.reason == "NO_SPACE"
    broken = translate(_libvirt_error(libvirt.VIR_ERR_SYSTEM_ERROR, domain=libvirt.VIR_FROM_RPC), "define")
    assert broken.reason == "LIBVIRT_UNAVAILABLE"
    other = translate(_libvirt_error(libvirt.VIR_ERR_SYSTEM_ERROR, number=errno.EPERM), "define")
    assert other.reason == "LIBVIRT_FAILED"


# --- events ---


async def test_a_subscriber_that_does_not_read_is_told_to_look_at_everything() -> None:
    events = Events(lambda uid: f"instance-{uid}")
    with events.watch(UID) as lazy, events.watch() as eager:
        for _ in range(300):
            events._dispatch(GuestEvent(uid=UID, reason="resumed"))
            await eager.next(1)
        seen = [await lazy.next(0.01) for _ in range(300)]
    assert GuestEvent(uid="", reason="lagging") in seen
    assert len([event for event in seen if event is not None]) < 300


# --- the embedded driver's root ---


def test_the_root_of_an_embed_uri() -> None:
    assert libvirt_embed.root_of("qemu:///embed?root=/a/b") == Path("/a/b")
    assert libvirt_embed.root_of("qemu:///system") is None
    assert libvirt_embed.root_of("test:///default") is None
    for uri in ("qemu:///embed", "qemu:///embed?root=a/b"):
        with pytest.raises(FailedPrecondition):
            libvirt_embed.root_of(uri)


def test_a_root_too_long_for_qemus_sockets_is_refused_with_a_way_out(tmp_path: Path) -> None:
    with pytest.raises(FailedPrecondition) as refused:
        libvirt_embed.prepare(tmp_path / ("x" * 60))
    assert refused.value.reason == "LIBVIRT_ROOT_TOO_LONG"
    assert "PROTOSTAR_DATA_DIR" in refused.value.message
    assert not list(tmp_path.iterdir()), "a refusal changes nothing"


def test_the_default_root_has_room_for_guest_agents() -> None:
    assert libvirt_embed.fits_guest_agent(Path("/var/lib/protostar/libvirt"))
    assert not libvirt_embed.fits_guest_agent(Path("/var/lib/protostar/libvirt2"))


def test_settings_of_ones_own_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libvirt_embed, "_LONGEST_SOCKET", 1000)
    libvirt_embed.prepare(tmp_path)
    conf = tmp_path / "etc/qemu.conf"
    assert 'stdio_handler = "file"' in conf.read_text()
    conf.write_text("# mine\n")
    libvirt_embed.prepare(tmp_path)
    assert conf.read_text() == "# mine\n"


# --- the host ---


@pytest.mark.parametrize(
    ("flags", "device", "arch", "works"),
    [
        ("fpu vmx sse", True, "x86_64", True),
        ("fpu svm sse", True, "x86_64", True),
        ("fpu vmx_not svmx", True, "x86_64", False),
        ("fpu vmx", False, "x86_64", False),
        ("", True, "aarch64", True),
    ],
)
def test_kvm_is_chosen_only_where_the_cpu_can_do_it(
    flags: str, device: bool, arch: str, works: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cpuinfo, kvm = tmp_path / "cpuinfo", tmp_path / "kvm"
    cpuinfo.write_text(f"processor\t: 0\nflags\t\t: {flags}\nbugs\t\t: vmx_l1tf\n")
    if device:
        kvm.touch()
    monkeypatch.setattr(libvirt_host, "_CPUINFO", cpuinfo)
    monkeypatch.setattr(libvirt_host, "_KVM", kvm)
    assert libvirt_host.kvm_works(arch) is works


# --- QEMU's log ---


async def test_the_tail_of_qemus_log_leaves_out_the_command_line(tmp_path: Path) -> None:
    logs = QemuLogs(tmp_path, owned=True)
    assert await logs.size("a") == 0
    assert await logs.tail("a") == ""
    lines = ["2026-11-23: starting up libvirt version: 9.0.0", "LC_ALL=C \\", "/usr/bin/qemu-system-x86_64 \\"]
    lines += ["-name guest=a \\", "2026-11-23T06:40:25Z qemu-system-x86_64: terminating on signal 15"]
    (tmp_path / "a.log").write_text("\n".join(lines))
    tail = await logs.tail("a")
    assert "terminating on signal 15" in tail and "-name" not in tail and "LC_ALL" not in tail
    assert await logs.size("a") > 0
    await logs.remove("a")
    await logs.remove("a")
    assert await logs.size("a") == 0


async def test_a_log_that_says_too_much_is_cut(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text("x" * 100_000 + "\nlast words")
    tail = await QemuLogs(tmp_path).tail("a")
    assert tail.endswith("last words") and len(tail) <= 1200


def test_emulators_that_a_killed_service_left_behind_are_ended(tmp_path: Path) -> None:
    folder = tmp_path / "lib/qemu/qmp-ABC123"
    folder.mkdir(parents=True)
    probe = subprocess.Popen(["sh", "-c", "sleep 60", f"unix:{folder}/qmp.monitor"])
    other = subprocess.Popen(["sleep", "60"])
    try:
        (folder / "qmp.pid").write_text(f"{probe.pid}\n")
        reused = tmp_path / "lib/qemu/qmp-DEF456"
        reused.mkdir()
        (reused / "qmp.pid").write_text(f"{other.pid}\n")
        libvirt_embed.end_probes(tmp_path)
        assert probe.wait(20) == -signal.SIGKILL
        assert other.poll() is None, "a number that was given to another process meanwhile"
        assert not list((tmp_path / "lib/qemu").iterdir())
    finally:
        probe.kill()
        other.kill()
        probe.wait()
        other.wait()
