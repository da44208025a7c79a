"""netblock_svc as a process, over the wire."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from protostar.api.v1 import instance_pb2, network_pb2, volume_pb2
from protostar.netblock.v1 import netblock_pb2 as pb
from protostar.netblock.v1 import netblock_pb2_grpc as stubs

from svckit import channel
from svckit.errors import (
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    ProtostarError,
    ResourceExhausted,
    Unavailable,
)
from tests.stack import Stack

NAME = "netblock_svc"
SERVICES = ("NetworkService", "VolumeService", "InstanceResourceService")
FLAVOR = instance_pb2.Flavor(vcpus=1, memory_mib=64, root_gib=5, ephemeral_gib=2, swap_mib=512)


class Client:
    """All services of netblock_svc, failing in our own errors."""

    def __init__(self, address: str) -> None:
        self.channel = channel.connect(address)
        self._stubs = [getattr(stubs, f"{name}Stub")(self.channel) for name in SERVICES]

    async def __call__(self, request: Any, **options: Any) -> Any:
        """Send a request to the method that it is named after."""
        name = type(request).__name__.removesuffix("Request")
        method = next(getattr(stub, name) for stub in self._stubs if hasattr(stub, name))
        with channel.errors():
            return await method(request, wait_for_ready=True, timeout=20, **options)

    async def network(self, project: str = "p", kind: int = network_pb2.NETWORK_KIND_BRIDGE, **fields: Any) -> Any:
        fields = {"bridge": "br0", "subnets": [network_pb2.Subnet(cidr="10.0.0.0/24")], **fields}
        wanted = network_pb2.Network(display_name=new_uid(), project=project, kind=kind, **fields)  # type: ignore[arg-type]
        return (await self(pb.CreateNetworkRequest(uid=new_uid(), network=wanted))).network

    async def port(self, network: str, project: str = "p", **fields: Any) -> Any:
        wanted = network_pb2.Port(network=network, project=project, **fields)
        return (await self(pb.CreatePortRequest(uid=new_uid(), port=wanted))).port

    async def volume(self, uid: str = "", project: str = "p", **fields: Any) -> Any:
        wanted = volume_pb2.Volume(**{"display_name": "data", "project": project, "size_gib": 1, **fields})
        return (await self(pb.CreateVolumeRequest(uid=uid or new_uid(), volume=wanted))).volume

    async def bind(self, instance: str, *networks: str, volumes: dict[str, str] | None = None) -> Any:
        ports = [instance_pb2.InstancePort(network=network) for network in networks]
        disks = [instance_pb2.InstanceVolume(volume=name, device=device) for name, device in (volumes or {}).items()]
        return await self(pb.BindInstanceRequest(instance=instance, project="p", ports=ports, volumes=disks))


@pytest.fixture(scope="module")
def service() -> Iterator[Stack]:
    stack = Stack()
    try:
        stack.start(NAME)
        yield stack
    finally:
        stack.close()


@pytest.fixture
async def call(service: Stack) -> AsyncIterator[Client]:
    async with connected(service) as client:
        yield client


@contextlib.asynccontextmanager
async def connected(service: Stack) -> AsyncIterator[Client]:
    client = Client(service.addresses[NAME])
    yield client
    await client.channel.close()


def new_uid() -> str:
    return str(uuid.uuid4())


async def test_it_says_that_it_is_well_and_what_it_serves(call: Client) -> None:
    names = [f"protostar.netblock.v1.{name}" for name in SERVICES]
    health = health_pb2_grpc.HealthStub(call.channel)
    for name in ("", *names):
        assert (await health.Check(health_pb2.HealthCheckRequest(service=name))).status == 1
    reflected = reflection_pb2_grpc.ServerReflectionStub(call.channel)
    ask = reflection_pb2.ServerReflectionRequest(list_services="")
    async for answer in reflected.ServerReflectionInfo(iter([ask])):
        assert {*names} <= {service.name for service in answer.list_services_response.service}


async def test_everybody_finds_the_default_network(call: Client) -> None:
    (network,) = (await call(pb.ListNetworksRequest(project=new_uid(), filter='display_name = "default"'))).networks
    assert (network.project, network.kind, network.mtu) == ("", network_pb2.NETWORK_KIND_USER, 1500)
    assert [subnet.cidr for subnet in network.subnets] == ["10.64.0.0/12"]
    port = await call.port(network.name, project=new_uid())
    assert port.ip_addresses[0].split(".")[0] == "10"
    assert int(port.ip_addresses[0].split(".")[3]) % 32 == 15


async def test_the_life_of_an_instances_resources(call: Client) -> None:
    instance = new_uid()
    quiet = await call.network(kind=network_pb2.NETWORK_KIND_USER, bridge="")
    shared = await call.network(
        mtu=9000,
        subnets=[network_pb2.Subnet(cidr="10.0.0.0/24", dns=["9.9.9.9"]), network_pb2.Subnet(cidr="fd00::/64")],
    )
    volume = await call.volume(size_gib=3, format="raw")
    bound = await call.bind(instance, quiet.name, shared.name, volumes={volume.name: "vdb"})
    assert bound == await call.bind(instance, quiet.name, shared.name, volumes={volume.name: "vdb"})
    assert [list(port.ip_addresses) for port in bound.ports] == [["10.0.0.15"], ["10.0.0.2", "fd00::2"]]
    assert bound.volumes == [instance_pb2.InstanceVolume(volume=volume.name, device="vdb")]

    first, second = (await call(pb.GetInstanceNetworkInfoRequest(instance=instance))).vifs
    assert first == pb.Vif(
        id=bound.ports[0].port.removeprefix("ports/"),
        address=bound.ports[0].mac_address,
        type=pb.VIF_TYPE_USER,
        vnic_type="normal",
        devname="tap" + first.id[:11],
        ovs_interfaceid=first.id,
        active=True,
        network=pb.VifNetwork(
            id=quiet.uid,
            label=quiet.display_name,
            mtu=1500,
            tenant_id="p",
            subnets=[
                pb.VifSubnet(
                    cidr="10.0.0.0/27",
                    version=4,
                    gateway="10.0.0.2",
                    dns=["10.0.0.3"],
                    dhcp_server="10.0.0.2",
                    ips=[pb.FixedIp(address="10.0.0.15", version=4, type="fixed")],
                )
            ],
        ),
    )
    assert (second.type, second.network.bridge, second.network.mtu) == (pb.VIF_TYPE_BRIDGE, "br0", 9000)
    assert list(second.network.subnets) == [
        pb.VifSubnet(
            cidr="10.0.0.0/24",
            version=4,
            gateway="10.0.0.1",
            dns=["9.9.9.9"],
            ips=[pb.FixedIp(address="10.0.0.2", version=4, type="fixed")],
        ),
        pb.VifSubnet(
            cidr="fd00::/64",
            version=6,
            gateway="fd00::1",
            ips=[pb.FixedIp(address="fd00::2", version=6, type="fixed")],
        ),
    ]

    await call(pb.ReleaseInstanceRequest(instance=instance))
    await call(pb.ReleaseInstanceRequest(instance=instance))
    assert (await call(pb.GetInstanceNetworkInfoRequest(instance=instance))).vifs == []
    await call(pb.DeleteVolumeRequest(uid=volume.uid, project="p"))
    for network in (quiet, shared):
        await call(pb.DeleteNetworkRequest(uid=network.uid, project="p"))


async def test_block_device_info(call: Client, service: Stack) -> None:
    instance, image = new_uid(), new_uid()
    kept, lost = await call.volume(size_gib=3), await call.volume(format="raw")
    bound = await call.bind(instance, volumes={kept.name: "vdb", lost.name: ""})
    assert [volume.volume for volume in bound.volumes] == [kept.name, lost.name]
    folder = service.folder / "data/volumes"
    (folder / f"{lost.uid}.raw").unlink()
    request = pb.GetInstanceBlockDeviceInfoRequest(instance=instance, flavor=FLAVOR, image=image)
    info = await call(request)
    attachments = [(await call(pb.GetVolumeRequest(uid=uid))).volume.attachment.uid for uid in (kept.uid, lost.uid)]
    local = pb.LocalConnection(device_path=str(folder / f"{kept.uid}.qcow2"), format="qcow2", access_mode="rw")
    assert info == pb.GetInstanceBlockDeviceInfoResponse(
        image=[pb.ImageBlockDevice(size_gib=5, image_id=image)],
        ephemerals=[pb.EphemeralBlockDevice(size_gib=2, device_type="disk")],
        swap=pb.SwapBlockDevice(swap_size_mib=512),
        block_device_mapping=[
            pb.VolumeBlockDevice(
                mount_device="/dev/vdb",
                volume_id=kept.uid,
                volume_size_gib=3,
                attachment_id=attachments[0],
                boot_index=-1,
                device_type="disk",
                connection_info=pb.ConnectionInfo(driver_volume_type="local", serial=kept.uid, local=local),
            ),
            pb.VolumeBlockDevice(
                volume_id=lost.uid,
                volume_size_gib=1,
                attachment_id=attachments[1],
                boot_index=-1,
                device_type="disk",
            ),
        ],
    )
    assert not info.block_device_mapping[1].HasField("connection_info")


async def test_an_instance_that_nobody_knows_has_nothing(call: Client) -> None:
    info = await call(pb.GetInstanceBlockDeviceInfoRequest(instance=new_uid(), flavor=instance_pb2.Flavor(vcpus=1)))
    assert info == pb.GetInstanceBlockDeviceInfoResponse()
    assert (await call(pb.GetInstanceNetworkInfoRequest(instance=new_uid()))).vifs == []


async def test_validate_only(call: Client) -> None:
    network, instance = await call.network(), new_uid()
    ports = [instance_pb2.InstancePort(network=network.name)]
    request = pb.BindInstanceRequest(instance=instance, project="p", ports=ports, validate_only=True)
    assert await call(request) == pb.BindInstanceResponse()
    assert (await call(pb.ListPortsRequest(filter=f'network = "{network.name}"'))).ports == []
    ports.append(instance_pb2.InstancePort(network=f"networks/{new_uid()}"))
    with pytest.raises(NotFound):
        await call(pb.BindInstanceRequest(instance=instance, project="p", ports=ports, validate_only=True))


async def test_a_hundred_ports_at_once(call: Client) -> None:
    network = await call.network()
    made = await asyncio.gather(*(call.port(network.name) for _ in range(100)))
    assert len({port.ip_addresses[0] for port in made}) == 100
    assert len({port.mac_address for port in made}) == 100
    listed, token = [], ""
    while token or not listed:
        page = await call(
            pb.ListPortsRequest(page_size=30, page_token=token, project="p", filter=f'network = "{network.name}"')
        )
        listed += [port.uid for port in page.ports]
        token = page.next_page_token
    assert sorted(listed) == sorted(port.uid for port in made)


async def test_refusals_say_what_is_wrong(call: Client) -> None:
    network = await call.network()
    port = await call.port(network.name, ip_addresses=["10.0.0.5"], mac_address="52:54:00:00:00:01")
    volume, instance = await call.volume(), new_uid()
    await call(pb.AttachVolumeRequest(uid=volume.uid, instance=instance, project="p", device="vdc"))
    tiny = await call.network(subnets=[network_pb2.Subnet(cidr="10.0.0.0/31")])
    await call.port(tiny.name)
    same_name = network_pb2.Network(
        display_name=network.display_name,
        project="p",
        kind=network_pb2.NETWORK_KIND_BRIDGE,
        bridge="b",
        subnets=network.subnets,
    )
    other = await call.volume()
    cases: list[tuple[Any, type[ProtostarError], str]] = [
        (pb.GetNetworkRequest(uid=new_uid()), NotFound, "NETWORK_NOT_FOUND"),
        (pb.GetNetworkRequest(uid=network.uid, project="q"), NotFound, "NETWORK_NOT_FOUND"),
        (pb.GetPortRequest(uid=port.uid, project="q"), NotFound, "PORT_NOT_FOUND"),
        (pb.GetVolumeRequest(uid=volume.uid, project="q"), NotFound, "VOLUME_NOT_FOUND"),
        (pb.GetNetworkRequest(uid="x"), InvalidArgument, "INVALID_FIELD"),
        (pb.GetPortRequest(uid=""), InvalidArgument, "INVALID_FIELD"),
        (pb.DeleteNetworkRequest(uid=network.uid), FailedPrecondition, "NETWORK_IN_USE"),
        (pb.DeleteVolumeRequest(uid=volume.uid), FailedPrecondition, "VOLUME_IN_USE"),
        (pb.AttachVolumeRequest(uid=volume.uid, instance=new_uid()), FailedPrecondition, "VOLUME_IN_USE"),
        (
            pb.AttachVolumeRequest(uid=other.uid, instance=instance, device="/dev/vdc"),
            FailedPrecondition,
            "DEVICE_IN_USE",
        ),
        (pb.AttachVolumeRequest(uid=other.uid, instance=instance, device="../x"), InvalidArgument, "INVALID_FIELD"),
        (pb.CreateNetworkRequest(uid=new_uid(), network=same_name), AlreadyExists, "NETWORK_ALREADY_EXISTS"),
        (pb.CreateNetworkRequest(uid=new_uid()), InvalidArgument, "INVALID_FIELD"),
        (
            pb.CreatePortRequest(uid=new_uid(), port=network_pb2.Port(network=tiny.name, project="p")),
            ResourceExhausted,
            "NO_FREE_ADDRESS",
        ),
        (
            pb.CreatePortRequest(
                uid=new_uid(), port=network_pb2.Port(network=network.name, project="p", ip_addresses=["10.0.0.5"])
            ),
            AlreadyExists,
            "ADDRESS_IN_USE",
        ),
        (
            pb.CreatePortRequest(
                uid=new_uid(),
                port=network_pb2.Port(network=network.name, project="p", mac_address="52:54:00:00:00:01"),
            ),
            AlreadyExists,
            "ADDRESS_IN_USE",
        ),
        (
            pb.BindInstanceRequest(instance=instance, ports=[instance_pb2.InstancePort()]),
            InvalidArgument,
            "INVALID_FIELD",
        ),
        (pb.ListVolumesRequest(filter='size_gib = "1"'), InvalidArgument, "INVALID_FIELD"),
        (pb.ListPortsRequest(page_token="nonsense"), InvalidArgument, "INVALID_FIELD"),
    ]
    for request, kind, reason in cases:
        with pytest.raises(kind) as refused:
            await call(request)
        assert refused.value.reason == reason, request
        assert refused.value.message


async def test_a_start_asks_in_one_statement_each_and_leaves_a_trace(call: Client, service: Stack) -> None:
    trace_id = secrets.token_hex(16)
    caller = (("traceparent", f"00-{trace_id}-{secrets.token_hex(8)}-01"),)
    network, instance = await call.network(), new_uid()
    volume = volume_pb2.Volume(display_name="data", project="p", size_gib=1)
    made = (await call(pb.CreateVolumeRequest(uid=new_uid(), volume=volume), metadata=caller)).volume
    await call.bind(instance, network.name, network.name, volumes={made.name: ""})
    await call(pb.GetInstanceNetworkInfoRequest(instance=instance), metadata=caller)
    await call(pb.GetInstanceBlockDeviceInfoRequest(instance=instance, flavor=FLAVOR), metadata=caller)
    spans = await spans_of(service, trace_id, expected=8)
    names = {span["spanId"]: span["name"] for span in spans}
    parts = {(names.get(span.get("parentSpanId"), ""), span["name"]) for span in spans}
    package = "protostar.netblock.v1"
    assert (f"{package}.VolumeService/CreateVolume", "qemu-img create") in parts
    for method in ("GetInstanceNetworkInfo", "GetInstanceBlockDeviceInfo"):
        rpc = f"{package}.InstanceResourceService/{method}"
        assert ("", rpc) in parts
        (database,) = [
            span for span in spans if names.get(span.get("parentSpanId")) == rpc and "SELECT" in span["name"]
        ]
        assert int(database["attributes"]["protostar.statements"]) == 1


@pytest.mark.parametrize("point", ["volume.create.announced", "volume.create.before_rename", "volume.create.made"])
async def test_killed_while_making_a_volume(point: str, tmp_path: Path) -> None:
    """Nobody was told that it is there, so after the next start it is not, and its id can be used."""
    with alone(tmp_path) as service:
        service.start(NAME, PROTOSTAR_FAILPOINTS=f"netblock.{point}=kill")
        uid = new_uid()
        async with connected(service) as call:
            with pytest.raises(Unavailable):
                await call.volume(uid)
            service.kill(NAME)
            service.start(NAME)
            assert files(service) == set()
            with pytest.raises(NotFound):
                await call(pb.GetVolumeRequest(uid=uid))
            kept = await call.volume(uid)
            assert files(service) == {f"{kept.uid}.qcow2"}


@pytest.mark.parametrize("point", ["volume.delete.condemned", "volume.delete.removed"])
async def test_killed_while_removing_a_volume(point: str, tmp_path: Path) -> None:
    """What had begun to go is gone after the next start; what had not is not."""
    with alone(tmp_path) as service:
        service.start(NAME, PROTOSTAR_FAILPOINTS=f"netblock.{point}=kill")
        async with connected(service) as call:
            doomed, kept = await call.volume(), await call.volume()
            with pytest.raises(Unavailable):
                await call(pb.DeleteVolumeRequest(uid=doomed.uid))
            service.kill(NAME)
            service.start(NAME)
            assert files(service) == {f"{kept.uid}.qcow2"}
            assert [volume.uid for volume in (await call(pb.ListVolumesRequest())).volumes] == [kept.uid]


async def test_nothing_is_forgotten_over_a_restart_and_the_default_network_may_be_refused(tmp_path: Path) -> None:
    with alone(tmp_path, PROTOSTAR_DEFAULT_NETWORK="false") as service:
        service.start(NAME)
        async with connected(service) as call:
            network = await call.network()
            instance = new_uid()
            await call.bind(instance, network.name)
            before = await call(pb.GetInstanceNetworkInfoRequest(instance=instance))
            assert service.stop(NAME) == 0
            service.start(NAME)
            assert await call(pb.GetInstanceNetworkInfoRequest(instance=instance)) == before
            assert [each.uid for each in (await call(pb.ListNetworksRequest())).networks] == [network.uid]


async def test_on_postgresql_and_without_it(postgres_url: str, tmp_path: Path) -> None:
    with alone(tmp_path, PROTOSTAR_NETBLOCK_DATABASE_URL=postgres_url) as service:
        service.start(NAME)
        async with connected(service) as call:
            (network,) = (await call(pb.ListNetworksRequest())).networks
            made = await asyncio.gather(*(call.port(network.name) for _ in range(20)))
            assert len({port.ip_addresses[0] for port in made}) == 20
            with away(postgres_url):
                with pytest.raises(Unavailable) as refused:
                    await call(pb.ListNetworksRequest())
                assert refused.value.reason == "STORAGE_UNAVAILABLE"
                health = health_pb2_grpc.HealthStub(call.channel)
                assert (await health.Check(health_pb2.HealthCheckRequest())).status == 1
            assert (await call(pb.ListNetworksRequest())).networks == [network]


@contextlib.contextmanager
def alone(folder: Path, **settings: str) -> Iterator[Stack]:
    """A service of the test's own."""
    stack = Stack(folder=folder / "stack", settings=settings)
    try:
        yield stack
    finally:
        stack.close()


def files(service: Stack) -> set[str]:
    """What is in the folder of volumes, hidden or not."""
    return {path.name for path in (service.folder / "data/volumes").iterdir()}


async def spans_of(service: Stack, trace_id: str, expected: int) -> list[dict[str, Any]]:
    """A trace, once its spans have been written: the exporter works in batches."""
    deadline = time.monotonic() + 10
    while len(spans := service.spans(trace_id)) < expected and time.monotonic() < deadline:
        await asyncio.sleep(0.05)
    return spans


@contextlib.contextmanager
def away(url: str) -> Iterator[None]:
    """The database lets nobody in."""
    name, _, folder = url.removeprefix("postgresql+psycopg://postgres@/").partition("?host=")
    with psycopg.connect(host=folder, user="postgres", dbname="postgres", autocommit=True) as server:
        server.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        yield
        server.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
