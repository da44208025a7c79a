"""compute_svc over its own wire: real protos and sockets, libvirt's test driver, peers that are played."""

from __future__ import annotations

import asyncio
import os
import sys
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from protostar.api.v1 import instance_pb2, instance_service_pb2, operation_pb2
from protostar.compute.v1 import compute_pb2 as pb
from protostar.compute.v1 import compute_pb2_grpc
from protostar.netblock.v1 import netblock_pb2

from compute_svc.bootstrap import build
from compute_svc.config import ComputeSettings
from svckit import channel
from svckit.errors import (
    Aborted,
    Cancelled,
    DeadlineExceeded,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    ProtostarError,
    Unavailable,
)
from svckit.server import serve
from tests.fakes.compute_peers import FakePeers

IMAGE = "155d900f-4e14-4e4c-a73d-069cbf4541e6"
PORT = netblock_pb2.Vif(
    id="0a1b2c3d-0000-4000-8000-00000000000a",
    address="fa:16:3e:00:00:01",
    type=netblock_pb2.VIF_TYPE_USER,
    vnic_type="normal",
    devname="tap0a1b2c3d-00",
    active=True,
    network=netblock_pb2.VifNetwork(
        id="0a1b2c3d-0000-4000-8000-00000000000b",
        subnets=[
            netblock_pb2.VifSubnet(
                cidr="10.0.2.0/27",
                version=4,
                gateway="10.0.2.2",
                ips=[netblock_pb2.FixedIp(address="10.0.2.15", version=4, type="fixed")],
            )
        ],
    ),
)


@dataclass
class Heard:
    """A stream to its end."""

    steps: dict[str, operation_pb2.Step] = field(default_factory=dict)
    details: list[str] = field(default_factory=list)
    result: Any = None
    error: ProtostarError | None = None


@dataclass
class Running:
    """compute_svc and its peers; every command gets the next generation of its instance."""

    stub: Any
    peers: FakePeers
    instances: Path
    stop_serving: asyncio.Event
    generations: dict[str, int] = field(default_factory=dict)

    def command(self, uid: str, *, seconds: float = 30) -> pb.Command:
        self.generations[uid] = self.generations.get(uid, 0) + 1
        command = pb.Command(operation=str(uuid.uuid4()), generation=self.generations[uid], attempt=1)
        command.time_left.FromNanoseconds(int(seconds * 1e9))
        return command

    def start(self, uid: str, command: pb.Command | None = None, **spec: Any) -> Any:
        flavor = instance_pb2.Flavor(vcpus=1, memory_mib=64, root_gib=1)
        wanted = pb.InstanceSpec(uid=uid, display_name="web", image=IMAGE, flavor=flavor, config_drive=True, **spec)
        return self.stub.StartInstance(pb.StartInstanceRequest(command=command or self.command(uid), spec=wanted))

    def stop(self, uid: str, command: pb.Command | None = None, mode: int = 1) -> Any:
        return self.stub.StopInstance(pb.StopInstanceRequest(command=command or self.command(uid), uid=uid, mode=mode))

    def delete(self, uid: str, command: pb.Command | None = None) -> Any:
        return self.stub.DeleteInstance(pb.DeleteInstanceRequest(command=command or self.command(uid), uid=uid))

    async def cancel(self, uid: str, operation: str) -> bool:
        with channel.errors():
            answer = await self.stub.CancelOperation(pb.CancelOperationRequest(uid=uid, operation=operation))
        return bool(answer.found)


async def hear(call: Any) -> Heard:
    heard = Heard()
    try:
        with channel.errors():
            async for event in call:
                if event.WhichOneof("event") == "steps":
                    heard.steps.update((step.name, step) for step in event.steps.steps)
                    heard.details.extend(step.detail for step in event.steps.steps)
                else:
                    heard.result = event.result
    except ProtostarError as error:
        heard.error = error
    return heard


async def until_told(call: Any, name: str) -> None:
    """Read a stream until a step is told of."""
    async with asyncio.timeout(20):
        async for event in call:
            if any(step.name == name for step in event.steps.steps):
                return


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    settings = ComputeSettings(
        data_dir=tmp_path,
        libvirt_uri="test:///default",
        host_name="here",
        compute_address=f"unix:{tmp_path}/c",
        netblock_address=f"unix:{tmp_path}/p",
        image_address=f"unix:{tmp_path}/p",
        drain_seconds=2,
    )
    stop = asyncio.Event()
    async with FakePeers.at(settings.netblock_address, settings.instances_path) as peers:
        serving = asyncio.ensure_future(
            serve("compute_svc", settings.compute_address, 2, lambda life: build(life, settings), stop)
        )
        async with channel.connect(settings.compute_address) as connected:
            await asyncio.wait_for(connected.channel_ready(), 20)
            yield Running(compute_pb2_grpc.ComputeServiceStub(connected), peers, settings.instances_path, stop)
        stop.set()
        await serving


@pytest.fixture
def uid() -> str:
    return str(uuid.uuid4())


async def test_a_guest_is_started_stopped_started_and_deleted(running: Running, uid: str) -> None:
    running.peers.netblock.vifs = [PORT]
    first = await hear(running.start(uid))
    assert first.error is None
    assert first.result.power.power_state == instance_pb2.POWER_STATE_RUNNING
    assert (first.result.power.uid, first.result.power.generation) == (uid, 1)
    (port,) = first.result.ports
    assert (port.port, port.mac_address, list(port.ip_addresses)) == (f"ports/{PORT.id}", PORT.address, ["10.0.2.15"])
    assert not first.result.fast_start
    stopped = await hear(running.stop(uid))
    assert stopped.result.outcome == instance_service_pb2.STOP_OUTCOME_GUEST_STOPPED
    assert stopped.result.power.power_state == instance_pb2.POWER_STATE_SHUTDOWN
    again = await hear(running.start(uid))
    assert again.result.fast_start
    assert again.steps["define"].state == operation_pb2.STEP_STATE_SKIPPED
    assert (running.instances / uid / "disk").exists()
    deleted = await hear(running.delete(uid))
    assert deleted.error is None and deleted.result is not None
    assert not (running.instances / uid).exists()
    assert (running.instances / "_journal" / f"{uid}.json").exists()


async def test_steps_carry_their_times_and_errors_their_step(running: Running, uid: str) -> None:
    running.peers.disks.refusal = FailedPrecondition(
        "bad image", reason="IMAGE_UNACCEPTABLE", metadata={"image": IMAGE}
    )
    heard = await hear(running.start(uid))
    assert isinstance(heard.error, FailedPrecondition)
    assert heard.error.reason == "IMAGE_UNACCEPTABLE"
    assert heard.error.metadata["step"] == "backing"
    backing = heard.steps["backing"]
    assert backing.state == operation_pb2.STEP_STATE_UNDONE and backing.attempt == 1
    assert backing.start_time.ToNanoseconds() <= backing.end_time.ToNanoseconds()
    assert not (running.instances / uid).exists(), "as it was"


async def test_a_volume_without_connection_is_refused(running: Running, uid: str) -> None:
    running.peers.netblock.volumes = [netblock_pb2.VolumeBlockDevice(volume_id=str(uuid.uuid4()))]
    heard = await hear(running.start(uid))
    assert isinstance(heard.error, FailedPrecondition) and heard.error.reason == "VOLUME_NOT_CONNECTED"


async def test_the_same_command_is_answered_and_an_older_one_refused(running: Running, uid: str) -> None:
    command = running.command(uid)
    first = await hear(running.start(uid, command))
    again = await hear(running.start(uid, command))
    assert again.result == first.result
    assert set(again.steps) == set(first.steps)
    await hear(running.stop(uid))
    stale = await hear(running.start(uid, command))
    assert isinstance(stale.error, Aborted) and stale.error.reason == "STALE_GENERATION"


async def test_work_goes_on_when_the_stream_breaks(running: Running, uid: str) -> None:
    running.peers.disks.hold = asyncio.Event()
    command = running.command(uid)
    call = running.start(uid, command)
    await until_told(call, "backing")
    call.cancel()
    running.peers.disks.hold.set()
    heard = await hear(running.start(uid, command))
    assert heard.result.power.power_state == instance_pb2.POWER_STATE_RUNNING


async def test_cancel_undoes_and_the_stream_ends_with_it(running: Running, uid: str) -> None:
    running.peers.disks.hold = asyncio.Event()
    command = running.command(uid)
    call = running.start(uid, command)
    await until_told(call, "backing")
    assert not await running.cancel(uid, str(uuid.uuid4())), "another operation"
    assert await running.cancel(uid, command.operation)
    heard = await hear(call)
    assert isinstance(heard.error, Cancelled)
    assert heard.error.metadata["step"] == "backing"
    assert not (running.instances / uid).exists()


async def test_a_stop_supersedes_a_start_that_hangs(running: Running, uid: str) -> None:
    running.peers.netblock.hold = asyncio.Event()
    call = running.start(uid)
    await until_told(call, "network_info")
    stopped = await hear(running.stop(uid))
    assert stopped.result.outcome == instance_service_pb2.STOP_OUTCOME_ALREADY_OFF
    assert stopped.result.power.power_state == instance_pb2.POWER_STATE_NO_STATE
    heard = await hear(call)
    assert isinstance(heard.error, Aborted) and heard.error.reason == "SUPERSEDED"


async def test_time_that_is_up_is_told_with_the_step(running: Running, uid: str) -> None:
    running.peers.netblock.hold = asyncio.Event()
    heard = await hear(running.start(uid, running.command(uid, seconds=0.3)))
    assert isinstance(heard.error, DeadlineExceeded | Unavailable)
    assert heard.error.metadata["step"] in ("network_info", "block_device_info")


async def test_a_peer_that_is_away_is_waited_for(running: Running, uid: str) -> None:
    await running.peers.__aexit__()
    call = running.start(uid)
    async with asyncio.timeout(20):
        async for event in call:
            if any(step.detail == "waiting for netblock_svc" for step in event.steps.steps):
                break
    await running.peers.__aenter__()
    heard = await hear(call)
    assert heard.result.power.power_state == instance_pb2.POWER_STATE_RUNNING


async def test_the_console_is_kept(running: Running, uid: str) -> None:
    with pytest.raises(NotFound) as missing, channel.errors():
        await running.stub.GetConsoleOutput(pb.GetConsoleOutputRequest(uid=uid))
    assert missing.value.reason == "CONSOLE_NOT_FOUND"
    for _ in range(2):
        await hear(running.start(uid))
    answer = await running.stub.GetConsoleOutput(pb.GetConsoleOutputRequest(uid=uid))
    assert answer.output.count(b"=== protostar: boot") == 2 and not answer.truncated
    answer = await running.stub.GetConsoleOutput(pb.GetConsoleOutputRequest(uid=uid, max_bytes=5))
    assert answer.output.endswith(b"===\n") and len(answer.output) == 5 and answer.truncated


async def test_the_host_and_its_guests_are_told(running: Running, uid: str) -> None:
    await hear(running.start(uid))
    call = running.stub.WatchHost(pb.WatchHostRequest())
    host = (await call.read()).host
    assert (host.host.name, host.host.connection, host.host.domain_type) == ("hosts/here", "test:///default", "test")
    assert host.boot_id and host.host.libvirt_version.count(".") == 2
    snapshot = (await call.read()).snapshot
    assert uid in {seen.uid for seen in snapshot.observations}
    assert len({seen.uid for seen in snapshot.observations}) == len(snapshot.observations)
    await hear(running.stop(uid))
    async with asyncio.timeout(20):
        while (event := await call.read()).observation.generation != 2:
            pass
    assert event.observation.power_state == instance_pb2.POWER_STATE_SHUTDOWN
    call.cancel()


def _bad(command: dict[str, Any] | None = None, **spec: Any) -> tuple[pb.Command, pb.InstanceSpec]:
    good = pb.Command(operation=str(uuid.uuid4()), generation=1, attempt=1)
    good.time_left.FromSeconds(5)
    for name, value in (command or {}).items():
        setattr(good, name, value) if value is not None else good.ClearField(name)  # type: ignore[arg-type]
    flavor = instance_pb2.Flavor(vcpus=1, memory_mib=64)
    values: dict[str, Any] = {"uid": str(uuid.uuid4()), "image": IMAGE, "flavor": flavor} | spec
    return good, pb.InstanceSpec(**values)


BAD: Sequence[tuple[str, tuple[pb.Command, pb.InstanceSpec]]] = [
    ("command.operation", _bad({"operation": "x"})),
    ("command.generation", _bad({"generation": 0})),
    ("command.time_left", _bad({"time_left": None})),
    ("spec.uid", _bad(uid="../../etc")),
    ("spec.image", _bad(image="")),
    ("spec.flavor", _bad(flavor=instance_pb2.Flavor())),
]


@pytest.mark.parametrize(("where", "request_"), BAD, ids=[where for where, _ in BAD])
async def test_bad_fields_are_named(running: Running, where: str, request_: tuple[pb.Command, pb.InstanceSpec]) -> None:
    command, spec = request_
    heard = await hear(running.stub.StartInstance(pb.StartInstanceRequest(command=command, spec=spec)))
    assert isinstance(heard.error, InvalidArgument)
    assert [violation.field for violation in heard.error.violations] == [where]


@pytest.mark.parametrize(
    ("method", "request_"),
    [
        ("GetConsoleOutput", pb.GetConsoleOutputRequest(uid="../x")),
        ("CancelOperation", pb.CancelOperationRequest(uid="x", operation=IMAGE)),
        ("CancelOperation", pb.CancelOperationRequest(uid=IMAGE, operation="x")),
    ],
)
async def test_names_that_are_no_uuids_never_become_paths(running: Running, method: str, request_: Message) -> None:
    with pytest.raises(InvalidArgument), channel.errors():
        await getattr(running.stub, method)(request_)


async def test_many_at_once(running: Running) -> None:
    uids = [str(uuid.uuid4()) for _ in range(30)]
    started = await asyncio.gather(*(hear(running.start(uid)) for uid in uids))
    assert [heard.error for heard in started] == [None] * len(uids)
    stopped = await asyncio.gather(*(hear(running.stop(uid)) for uid in uids))
    assert [heard.error for heard in stopped] == [None] * len(uids)


async def test_watchers_are_let_go_when_the_daemon_drains(running: Running) -> None:
    call = running.stub.WatchHost(pb.WatchHostRequest())
    await call.read()
    running.stop_serving.set()
    async with asyncio.timeout(20):
        while await call.read() is not grpc.aio.EOF:
            pass
        assert await call.code() is grpc.StatusCode.OK


async def test_a_daemon_that_cannot_start_says_why_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 60)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "compute_svc",
        env={**os.environ, "PROTOSTAR_DATA_DIR": str(folder), "PROTOSTAR_COMPUTE_ADDRESS": f"unix:{tmp_path}/c"},
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 1
    assert said.startswith(b"compute_svc cannot start: the path ") and b"Traceback" not in said
