"""Networks, ports and volumes through the public door, with all four services behind it."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import pytest
from protostar.api.v1 import (
    image_pb2,
    instance_pb2,
    instance_service_pb2,
    instance_service_pb2_grpc,
    network_pb2,
    network_pb2_grpc,
    volume_pb2,
    volume_pb2_grpc,
)

from svckit import channel
from svckit.errors import (
    Aborted,
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ProtostarError,
    ResourceExhausted,
    Unavailable,
)
from tests.client import Client
from tests.stack import Stack

STOPPED, ACTIVE = instance_pb2.VM_STATE_STOPPED, instance_pb2.VM_STATE_ACTIVE


class Door:
    """The public door, as one user sees it."""

    def __init__(self, connection: grpc.aio.Channel, project: str = "", roles: str = "member") -> None:
        self._connection = connection
        self._stubs: list[Any] = [
            network_pb2_grpc.NetworkServiceStub(connection),
            volume_pb2_grpc.VolumeServiceStub(connection),
            instance_service_pb2_grpc.InstanceServiceStub(connection),
        ]
        self._metadata = (
            (("x-protostar-user", "ann"), ("x-protostar-project", project), ("x-protostar-roles", roles))
            if project
            else ()
        )

    def of(self, project: str, roles: str = "member") -> Door:
        """The same door for a user of a project."""
        return Door(self._connection, project, roles)

    async def __call__(self, request: Any) -> Any:
        """Send a request to the method that it is named after."""
        name = type(request).__name__.removesuffix("Request")
        method = next(getattr(stub, name) for stub in self._stubs if hasattr(stub, name))
        with channel.errors():
            return await method(request, metadata=self._metadata, wait_for_ready=True, timeout=20)

    def watch(self) -> Any:
        """All events from now on, after a snapshot."""
        return self._stubs[2].WatchInstances(instance_service_pb2.WatchInstancesRequest(), metadata=self._metadata)

    async def network(self, *cidrs: str, **request: Any) -> network_pb2.Network:
        wanted = network_pb2.Network(
            display_name=new_uid(),
            kind=network_pb2.NETWORK_KIND_BRIDGE,
            bridge="br0",
            subnets=[network_pb2.Subnet(cidr=cidr) for cidr in cidrs or ("10.0.0.0/24",)],
        )
        made: network_pb2.Network = await self(network_pb2.CreateNetworkRequest(network=wanted, **request))
        return made

    async def port(self, network: str, **fields: Any) -> network_pb2.Port:
        made: network_pb2.Port = await self(
            network_pb2.CreatePortRequest(port=network_pb2.Port(network=network, **fields))
        )
        return made

    async def volume(self, **request: Any) -> volume_pb2.Volume:
        wanted = volume_pb2.Volume(display_name="data", size_gib=1)
        made: volume_pb2.Volume = await self(volume_pb2.CreateVolumeRequest(volume=wanted, **request))
        return made

    async def attach(self, volume: str, instance: str, device: str = "") -> volume_pb2.Volume:
        request = volume_pb2.AttachVolumeRequest(name=volume, instance=instance, device=device)
        attached: volume_pb2.Volume = await self(request)
        return attached

    async def detach(self, volume: str) -> volume_pb2.Volume:
        detached: volume_pb2.Volume = await self(volume_pb2.DetachVolumeRequest(name=volume))
        return detached

    async def instance(self, name: str) -> instance_pb2.Instance:
        found: instance_pb2.Instance = await self(instance_service_pb2.GetInstanceRequest(name=name))
        return found


@pytest.fixture
async def door(stack: Stack) -> AsyncIterator[Door]:
    """The local admin's, whose project is "default"."""
    connection = channel.connect(stack.addresses["api_svc"])
    yield Door(connection)
    await connection.close()


@pytest.fixture(scope="module")
def shared_instance(client: Client, image: image_pb2.Image) -> str:
    made = client.finish(client.create(image.name), instance_pb2.Instance)
    return made.name


@pytest.fixture
def stopped(client: Client, shared_instance: str) -> Iterator[str]:
    """An instance that is STOPPED and has no volumes; it is left so."""
    yield bring_to(client, shared_instance, STOPPED)
    bring_to(client, shared_instance, STOPPED)
    for volume in client.get(shared_instance).volumes:
        client.volumes.DetachVolume(volume_pb2.DetachVolumeRequest(name=volume.volume))


def bring_to(client: Client, name: str, state: int) -> str:
    if client.get(name).vm_state != state:
        client.wait(client.stop(name, mode=2) if state == STOPPED else client.start(name))
    assert client.get(name).vm_state == state
    return name


def new_uid() -> str:
    return str(uuid.uuid4())


async def refused(call: Any, kind: type[ProtostarError], reason: str) -> ProtostarError:
    """The refusal, which must be of this kind and reason."""
    with pytest.raises(kind) as error:
        await call
    assert error.value.reason == reason
    return error.value


async def test_the_life_of_a_network_and_a_port(door: Door) -> None:
    network = await door.network("10.0.0.0/24", "fd00::/64")
    assert network.name == f"networks/{network.uid}"
    assert (network.project, network.mtu) == ("default", 1500)
    port = await door.port(network.name, display_name="eth0", ip_addresses=["10.0.0.9"])
    assert (port.project, port.network, list(port.ip_addresses)) == ("default", network.name, ["10.0.0.9", "fd00::2"])
    assert await door(network_pb2.GetNetworkRequest(name=network.name)) == network
    assert await door(network_pb2.GetPortRequest(name=port.name)) == port
    listed = await door(network_pb2.ListPortsRequest(filter=f'network = "{network.name}"'))
    assert list(listed.ports) == [port]
    named = f'display_name = "{network.display_name}"'
    assert list((await door(network_pb2.ListNetworksRequest(filter=named))).networks) == [network]
    in_use = await refused(
        door(network_pb2.DeleteNetworkRequest(name=network.name)), FailedPrecondition, "NETWORK_IN_USE"
    )
    assert in_use.metadata["network"] == network.uid
    assert in_use.precondition and in_use.resource
    await door(network_pb2.DeletePortRequest(name=port.name))
    await door(network_pb2.DeleteNetworkRequest(name=network.name))
    await refused(door(network_pb2.GetNetworkRequest(name=network.name)), NotFound, "NETWORK_NOT_FOUND")


async def test_the_life_of_a_volume(door: Door) -> None:
    volume = await door.volume()
    assert (volume.name, volume.project, volume.format) == (f"volumes/{volume.uid}", "default", "qcow2")
    assert await door(volume_pb2.GetVolumeRequest(name=volume.name)) == volume
    assert volume in (await door(volume_pb2.ListVolumesRequest())).volumes
    await door(volume_pb2.DeleteVolumeRequest(name=volume.name))
    await refused(door(volume_pb2.GetVolumeRequest(name=volume.name)), NotFound, "VOLUME_NOT_FOUND")


async def test_ids_chosen_by_the_caller(door: Door) -> None:
    uid = new_uid()
    volume = await door.volume(volume_id=uid)
    assert volume.uid == uid
    assert await door.volume(volume_id=uid) == volume
    other = volume_pb2.Volume(display_name="data", size_gib=2)
    await refused(
        door(volume_pb2.CreateVolumeRequest(volume=other, volume_id=uid)), AlreadyExists, "VOLUME_ALREADY_EXISTS"
    )
    await refused(door.volume(volume_id="mine"), InvalidArgument, "INVALID_FIELD")
    assert (await door.network(network_id=(chosen := new_uid()))).uid == chosen


async def test_pages(door: Door) -> None:
    network = await door.network()
    made = [(await door.port(network.name)).name for _ in range(5)]
    mine, found, token = f'network = "{network.name}"', [], ""
    while token or not found:
        page = await door(network_pb2.ListPortsRequest(page_size=2, page_token=token, filter=mine))
        assert len(page.ports) <= 2
        found += [port.name for port in page.ports]
        token = page.next_page_token
    assert found == made
    await refused(door(network_pb2.ListPortsRequest(page_size=-1)), InvalidArgument, "INVALID_FIELD")
    await refused(door(network_pb2.ListPortsRequest(filter="x")), InvalidArgument, "INVALID_FIELD")


async def test_projects_are_apart(door: Door) -> None:
    ours, theirs = door.of(f"p{new_uid()[:8]}"), door.of(f"q{new_uid()[:8]}")
    network, volume = await ours.network(), await ours.volume()
    port = await ours.port(network.name)
    for request, kind in (
        (network_pb2.GetNetworkRequest(name=network.name), "NETWORK"),
        (network_pb2.DeleteNetworkRequest(name=network.name), "NETWORK"),
        (network_pb2.GetPortRequest(name=port.name), "PORT"),
        (network_pb2.DeletePortRequest(name=port.name), "PORT"),
        (volume_pb2.GetVolumeRequest(name=volume.name), "VOLUME"),
        (volume_pb2.DeleteVolumeRequest(name=volume.name), "VOLUME"),
        (volume_pb2.DetachVolumeRequest(name=volume.name), "VOLUME"),
    ):
        await refused(theirs(request), NotFound, f"{kind}_NOT_FOUND")
    await refused(theirs.port(network.name), NotFound, "NETWORK_NOT_FOUND")
    assert list((await theirs(volume_pb2.ListVolumesRequest())).volumes) == []
    assert list((await theirs(network_pb2.ListPortsRequest())).ports) == []
    (public,) = (await theirs(network_pb2.ListNetworksRequest())).networks
    assert (public.display_name, public.project) == ("default", "")
    await refused(theirs(network_pb2.DeleteNetworkRequest(name=public.name)), PermissionDenied, "PERMISSION_DENIED")
    assert await door(volume_pb2.GetVolumeRequest(name=volume.name)) == volume
    assert network in (await door(network_pb2.ListNetworksRequest(page_size=1000))).networks


async def test_readers_read(door: Door) -> None:
    project = f"p{new_uid()[:8]}"
    member, reader = door.of(project), door.of(project, "reader")
    network, volume = await member.network(), await member.volume()
    assert await reader(network_pb2.GetNetworkRequest(name=network.name)) == network
    assert await reader(volume_pb2.GetVolumeRequest(name=volume.name)) == volume
    for call in (
        reader.network(),
        reader.port(network.name),
        reader.volume(),
        reader(network_pb2.DeleteNetworkRequest(name=network.name)),
        reader(volume_pb2.DeleteVolumeRequest(name=volume.name)),
        reader.detach(volume.name),
    ):
        await refused(call, PermissionDenied, "PERMISSION_DENIED")


async def test_what_netblock_refuses_comes_through_as_it_said_it(door: Door) -> None:
    network, tiny = await door.network(), await door.network("10.0.0.0/31")
    await door.port(network.name, ip_addresses=["10.0.0.9"])
    await door.port(tiny.name)
    taken = await refused(door.port(network.name, ip_addresses=["10.0.0.9"]), AlreadyExists, "ADDRESS_IN_USE")
    assert taken.metadata["address"] == "10.0.0.9"
    await refused(door.port(tiny.name), ResourceExhausted, "NO_FREE_ADDRESS")
    bad = await refused(door.port(network.name, ip_addresses=["10.0.0.1"]), InvalidArgument, "INVALID_FIELD")
    assert [violation.field for violation in bad.violations] == ["port.ip_addresses"]
    await refused(door.port("networks/x"), InvalidArgument, "INVALID_FIELD")
    await refused(door(network_pb2.GetPortRequest(name="volumes/x")), InvalidArgument, "INVALID_FIELD")


async def test_attaching_and_detaching(door: Door, stopped: str) -> None:
    volume, other = await door.volume(), await door.volume()
    attached = await door.attach(volume.name, stopped, "vdb")
    assert (attached.attachment.instance, attached.attachment.device) == (stopped, "vdb")
    before = await door.instance(stopped)
    assert volumes_of(before) == {volume.name: "vdb"}
    assert await door.attach(volume.name, stopped, "vdb") == attached
    assert await door.instance(stopped) == before
    await door.attach(other.name, stopped)
    assert list(volumes_of(await door.instance(stopped))) == [volume.name, other.name]
    in_use = await refused(door(volume_pb2.DeleteVolumeRequest(name=volume.name)), FailedPrecondition, "VOLUME_IN_USE")
    assert in_use.metadata["instance"] == stopped.removeprefix("instances/")
    for _ in range(2):
        assert not (await door.detach(volume.name)).HasField("attachment")
        assert list(volumes_of(await door.instance(stopped))) == [other.name]
    after = await door.instance(stopped)
    assert (after.generation, after.vm_state) == (before.generation, STOPPED)
    assert after.etag != before.etag


async def test_a_guest_has_its_volume_from_its_next_start(door: Door, client: Client, stopped: str) -> None:
    volume = await door.volume()
    await door.attach(volume.name, stopped)
    bring_to(client, stopped, ACTIVE)
    shown = volumes_of(await door.instance(stopped))
    assert list(shown) == [volume.name]
    assert shown[volume.name]
    for call in (door.detach(volume.name), door.attach((await door.volume()).name, stopped)):
        error = await refused(call, FailedPrecondition, "INSTANCE_INVALID_STATE")
        assert {name: error.metadata[name] for name in ("attr", "value", "allowed")} == {
            "attr": "vm_state",
            "value": "ACTIVE",
            "allowed": "STOPPED",
        }
    assert (await door.attach(volume.name, stopped)).attachment.instance == stopped
    bring_to(client, stopped, STOPPED)
    await door.detach(volume.name)
    bring_to(client, stopped, ACTIVE)
    assert volumes_of(await door.instance(stopped)) == {}


async def test_every_change_is_an_event(door: Door, stopped: str) -> None:
    volume = await door.volume()
    events = door.watch()
    async for event in events:
        if event.type == "bookmark":
            break
    await door.attach(volume.name, stopped, "vdb")
    await door.detach(volume.name)
    seen = []
    async for event in events:
        if event.type == "instance.update" and event.instance.name == stopped:
            seen.append(volumes_of(event.instance))
        if len(seen) == 2:
            break
    assert seen == [{volume.name: "vdb"}, {}]
    events.cancel()


async def test_what_cannot_be_attached(door: Door, stopped: str) -> None:
    volume, other = await door.volume(), await door.volume()
    foreign = await door.of("elsewhere").volume()
    nobody = f"instances/{new_uid()}"
    await refused(door.attach(volume.name, nobody), NotFound, "INSTANCE_NOT_FOUND")
    await refused(door.of("elsewhere").attach(foreign.name, stopped), NotFound, "INSTANCE_NOT_FOUND")
    await refused(door.attach(f"volumes/{new_uid()}", stopped), NotFound, "VOLUME_NOT_FOUND")
    await refused(door.attach(foreign.name, stopped), NotFound, "VOLUME_NOT_FOUND")
    await refused(door.attach(volume.name, stopped, "floppy"), InvalidArgument, "INVALID_FIELD")
    await refused(door.of("default", "reader").attach(volume.name, stopped), PermissionDenied, "PERMISSION_DENIED")
    await door.attach(other.name, stopped, "vdc")
    before = await door.instance(stopped)
    await refused(door.attach(volume.name, stopped, "vdc"), FailedPrecondition, "DEVICE_IN_USE")
    await refused(door.attach(other.name, stopped, "vdd"), FailedPrecondition, "VOLUME_IN_USE")
    assert await door.instance(stopped) == before


async def test_a_locked_instance_is_changed_by_admins_only(door: Door, stopped: str) -> None:
    volume, member = await door.volume(), door.of("default")
    await door(instance_service_pb2.LockInstanceRequest(name=stopped, reason="audit"))
    error = await refused(member.attach(volume.name, stopped), FailedPrecondition, "INSTANCE_LOCKED")
    assert error.metadata["lock_reason"] == "audit"
    await door.attach(volume.name, stopped)
    await refused(member.detach(volume.name), FailedPrecondition, "INSTANCE_LOCKED")
    await door(instance_service_pb2.UnlockInstanceRequest(name=stopped))
    await member.detach(volume.name)


async def test_while_another_operation_is_in_flight(door: Door, client: Client, stack: Stack, stopped: str) -> None:
    attached, volume = await door.volume(), await door.volume()
    await door.attach(attached.name, stopped)
    stack.stop("compute_svc")
    operation = client.start(stopped)
    try:
        for call in (door.attach(volume.name, stopped), door.detach(attached.name)):
            error = await refused(call, Aborted, "OPERATION_IN_PROGRESS")
            assert error.metadata["task_state"] == "POWERING_ON"
            assert error.retry_after
    finally:
        stack.start("compute_svc")
    client.wait(operation)
    assert list(volumes_of(await door.instance(stopped))) == [attached.name]


async def test_without_netblock_nothing_changes(door: Door, stack: Stack, stopped: str) -> None:
    volume = await door.volume()
    before = await door.instance(stopped)
    stack.stop("netblock_svc")
    try:
        with pytest.raises(Unavailable, match="netblock_svc"):
            await door(volume_pb2.ListVolumesRequest())
        with pytest.raises(Unavailable, match="netblock_svc"):
            await door.attach(volume.name, stopped)
    finally:
        stack.start("netblock_svc")
    assert await door.instance(stopped) == before
    await attach_when_netblock_is_back(door, volume.name, stopped)
    assert list(volumes_of(await door.instance(stopped))) == [volume.name]


async def test_deleting_an_instance_frees_its_volumes_and_its_ports(
    door: Door, client: Client, image: image_pb2.Image
) -> None:
    volume, network = await door.volume(), await door.network()
    kept = await door.port(network.name)
    made = client.finish(
        client.create(
            image.name,
            ports=[instance_pb2.InstancePort(port=kept.name), instance_pb2.InstancePort(network=network.name)],
            volumes=[instance_pb2.InstanceVolume(volume=volume.name)],
        ),
        instance_pb2.Instance,
    )
    ports = await door(network_pb2.ListPortsRequest(filter=f'instance = "{made.name}"'))
    assert [list(port.ip_addresses) for port in ports.ports] == [["10.0.0.2"], ["10.0.0.3"]]
    await refused(door(network_pb2.DeletePortRequest(name=kept.name)), FailedPrecondition, "PORT_IN_USE")
    client.wait(client.delete(made.name))
    left = await door(network_pb2.ListPortsRequest(filter=f'network = "{network.name}"'))
    assert [(port.name, port.instance) for port in left.ports] == [(kept.name, "")]
    assert not (await door(volume_pb2.GetVolumeRequest(name=volume.name))).HasField("attachment")
    await door(volume_pb2.DeleteVolumeRequest(name=volume.name))


async def attach_when_netblock_is_back(door: Door, volume: str, instance: str) -> None:
    """As a client does that honours RetryInfo: connections come back after a while."""
    async with asyncio.timeout(20):
        while True:
            try:
                await door.attach(volume, instance)
                return
            except Unavailable as error:
                assert error.retry_after
                await asyncio.sleep(0.1)


def volumes_of(instance: instance_pb2.Instance) -> dict[str, str]:
    """Volume and device, in order of attachment."""
    return {volume.volume: volume.device for volume in instance.volumes}
