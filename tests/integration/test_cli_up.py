"""protostar up, status, down: the real command and the real supervisor, with small programs in the services' names."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from cli.supervisor import linux, lock

SECONDS = 40
SERVICES = ("api", "compute", "image", "netblock")
# What `python -m api_svc` finds first: it serves health and one host, or says why not and ends.
STAND_IN = """
import os, pathlib, signal, sys, threading
from concurrent.futures import ThreadPoolExecutor
name = pathlib.Path(__file__).stem
if os.environ.get("BREAK") == name:
    sys.exit(f"{name}: the disk is made of cheese")
import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from protostar.api.v1 import host_pb2, host_pb2_grpc, instance_pb2, instance_service_pb2, instance_service_pb2_grpc

class Hosts(host_pb2_grpc.HostServiceServicer):
    def ListHosts(self, request, context):
        host = host_pb2.Host(name="hosts/here", state=host_pb2.HOST_STATE_UP, domain_type="test", connection="test:///")
        return host_pb2.ListHostsResponse(hosts=[host])

class Instances(instance_service_pb2_grpc.InstanceServiceServicer):
    def ListInstances(self, request, context):
        found = [instance_pb2.Instance(vm_state=instance_pb2.VM_STATE_ACTIVE) for _ in range(2)]
        return instance_service_pb2.ListInstancesResponse(instances=found)

server = grpc.server(ThreadPoolExecutor(4), options=(("grpc.so_reuseport", 0),))
healthy = health.HealthServicer()
healthy.set("", health_pb2.HealthCheckResponse.SERVING)
health_pb2_grpc.add_HealthServicer_to_server(healthy, server)
host_pb2_grpc.add_HostServiceServicer_to_server(Hosts(), server)
instance_service_pb2_grpc.add_InstanceServiceServicer_to_server(Instances(), server)
server.add_insecure_port(os.environ["PROTOSTAR_" + name.removesuffix("_svc").upper() + "_ADDRESS"])
done = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: done.set())
server.start()
done.wait()
server.stop(0)
"""


@dataclass
class Machine:
    """A data directory, ports and stand-ins of a test's own."""

    folder: Path
    addresses: dict[str, str] = field(default_factory=dict)

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def start(self, *argv: str, **environment: str) -> subprocess.Popen[str]:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PROTOSTAR_", "OTEL_"))}
        known = {"PROTOSTAR_DATA_DIR": str(self.data), "PYTHONPATH": str(self.folder / "stand-ins")}
        return subprocess.Popen(
            [sys.executable, "-m", "cli", *argv],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).resolve().parents[2],
            env={**inherited, **known, **environment},
        )

    def run(self, *argv: str, **environment: str) -> subprocess.CompletedProcess[str]:
        process = self.start(*argv, **environment)
        out, err = process.communicate(timeout=SECONDS)
        assert "Traceback" not in err
        return subprocess.CompletedProcess(argv, process.returncode, out, err)

    def up(self, *argv: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return self.run("up", *self.options(), *argv, **environment)

    def options(self) -> list[str]:
        return [part for name, address in self.addresses.items() for part in (f"--{name}", address)]

    def pids(self) -> dict[str, int]:
        return {name: entry["pid"] for name, entry in lock.read_state(self.data)["services"].items()}


def lives(pid: int) -> bool:
    """Whether it runs; one that is dead and not reaped yet does not."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


@contextlib.contextmanager
def new_machine() -> Iterator[Machine]:
    with tempfile.TemporaryDirectory(prefix="ps-up-", dir="/tmp") as name, contextlib.ExitStack() as ports:
        folder = Path(name)
        (folder / "stand-ins").mkdir()
        for service in SERVICES:
            (folder / f"stand-ins/{service}_svc.py").write_text(STAND_IN)
        listeners = [ports.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in SERVICES]
        addresses = [f"127.0.0.1:{listener.getsockname()[1]}" for listener in listeners]
        ports.close()
        made = Machine(folder, dict(zip(SERVICES, addresses, strict=True)))
        yield made
        if holder := lock.holder(made.data):
            os.kill(holder["pid"], signal.SIGTERM)
            assert linux.wait_for_end(holder["pid"], SECONDS)


@pytest.fixture
def machine() -> Iterator[Machine]:
    with new_machine() as made:
        yield made


@pytest.fixture(scope="module")
def running() -> Iterator[Machine]:
    """A machine on which everything serves; tests leave it so."""
    with new_machine() as made:
        up = made.up("--detach")
        assert up.returncode == 0, up.stderr
        assert up.stdout == ""
        assert all(f"{name}_svc serving" in up.stderr for name in SERVICES)
        assert "protostar image import" in up.stderr
        yield made


def test_status_tells_of_every_service_and_of_instances(running: Machine) -> None:
    status = running.run("status", "--json")
    told = json.loads(status.stdout)
    assert status.returncode == 0
    assert {name: entry["pid"] for name, entry in told["services"].items()} == running.pids()
    assert {entry["health"] for entry in told["services"].values()} == {"SERVING"}
    assert all(entry["resident_bytes"] > 0 for entry in told["services"].values())
    assert told["instances"] == {"ACTIVE": 2}
    assert "2 ACTIVE" in running.run("status").stdout


def test_a_second_up_is_refused_and_the_first_left_alone(running: Machine) -> None:
    before = running.pids()
    second = running.up()
    assert second.returncode == 1
    assert f"already running on {running.data}, as process" in second.stderr
    assert "protostar down" in second.stderr
    assert running.pids() == before


def test_the_other_commands_find_the_api_of_the_data_directory(running: Machine) -> None:
    assert running.run("host", "list").stdout.splitlines()[1].startswith("here")


def test_doctor_tells_about_services_that_run(running: Machine) -> None:
    checks = json.loads(running.run("doctor", "--json").stdout)["checks"]
    assert [check["detail"] for check in checks if check["name"].endswith("_svc")] == ["serving"] * 4


def test_up_and_down_in_json_are_one_answer_each_and_down_leaves_nothing_running(machine: Machine) -> None:
    up = machine.up("--detach", "--json")
    told = json.loads(up.stdout)
    assert up.stderr == ""
    assert told["addresses"] == {f"{name}_svc": address for name, address in machine.addresses.items()}
    assert told["host"]["name"] == "hosts/here"
    pids = machine.pids()

    os.kill(told["pid"], signal.SIGSTOP)  # so that nobody starts it again
    os.kill(pids["image_svc"], signal.SIGKILL)
    status = machine.run("status")
    os.kill(told["pid"], signal.SIGCONT)
    assert status.returncode == 1
    assert "UNREACHABLE" in status.stdout

    down = machine.run("down")
    assert down.returncode == 0
    assert "2 guests keep running" in down.stdout
    assert not any(lives(pid) for pid in (told["pid"], *pids.values()))
    assert machine.run("status").returncode == 1
    assert json.loads(machine.run("down", "--json").stdout) == {"stopped": False}


def test_in_front_a_crash_is_told_and_mended_and_ctrl_c_stops_the_services(machine: Machine) -> None:
    process = machine.start("up", *machine.options())
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("Ctrl-C stops"):
            break
    os.kill(machine.pids()["image_svc"], signal.SIGKILL)
    told = [process.stderr.readline(), process.stderr.readline()]
    assert "image_svc killed by SIGKILL" in told[0]
    assert "image_svc started again" in told[1]

    pids = machine.pids()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 0
    assert "2 guests keep running" in err
    assert all(f"{name}_svc stopped" in err for name in SERVICES)
    assert not any(lives(pid) for pid in pids.values())


def test_a_service_that_does_not_start_is_named_with_the_end_of_its_log(machine: Machine) -> None:
    up = machine.up("--detach", BREAK="image_svc")
    assert up.returncode == 1
    assert "image_svc does not start: it ended with status 1" in up.stderr
    assert "the disk is made of cheese" in up.stderr
    assert "protostar doctor" in up.stderr
    assert lock.holder(machine.data) is None
    assert [pid for pid in machine.pids().values() if pid] == []


def test_a_taken_port_is_named_with_the_option_that_changes_it(machine: Machine) -> None:
    host, _, port = machine.addresses["image"].rpartition(":")
    with socket.create_server((host, int(port))):
        up = machine.up("--detach")
        assert up.returncode == 1
        assert f"image_svc: {machine.addresses['image']} is taken by process {os.getpid()}" in up.stderr
        assert "protostar up --image HOST:PORT" in up.stderr
        doctor = machine.run("doctor", "--json", PROTOSTAR_IMAGE_ADDRESS=machine.addresses["image"])
        assert doctor.returncode == 1
        (found,) = (check for check in json.loads(doctor.stdout)["checks"] if check["name"] == "image_svc")
        assert found["state"] == "missing"


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--api", "0.0.0.0:50051"], "not a loopback address"),
        (["--data-dir", "/tmp/" + "x" * 60], "too long"),
        (["--data-dir", "/dev/null/data"], "cannot be used: Not a directory"),
        (["--data-dir", "/proc/protostar"], "cannot be used"),
    ],
)
def test_what_can_never_work_is_refused_before_anything_starts(machine: Machine, argv: list[str], words: str) -> None:
    up = machine.run("up", *argv)
    assert up.returncode == 1
    assert words in up.stderr
    assert not machine.data.exists()
