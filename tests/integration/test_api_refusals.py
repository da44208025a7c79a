"""Every row of the error table (design §5), provoked through a client, with its details."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from google.longrunning import operations_pb2
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp
from protostar.api.v1 import host_pb2, image_pb2, instance_pb2
from sqlalchemy import text

from svckit import channel
from svckit.clock import utcnow
from svckit.database import Database
from svckit.errors import (
    Aborted,
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ProtostarError,
    ResourceExhausted,
    Unauthenticated,
)
from tests.fakes.api_peers import Peers
from tests.integration.api_door import FLAVOR, Door, eventually, host_is_up, metadata, pb, serving, settings_for

MISSING = "instances/11111111-1111-4111-8111-111111111111"
STOPPED, ACTIVE = instance_pb2.VM_STATE_STOPPED, instance_pb2.VM_STATE_ACTIVE


@pytest.fixture
async def narrow(data: Path, peers: Peers) -> AsyncIterator[Door]:
    """A replica that allows few instances."""
    async with serving(settings_for(data, peers, quota_instances=2), peers) as opened:
        await eventually(lambda: host_is_up(opened))
        yield opened


@contextlib.contextmanager
def refused(kind: type[ProtostarError], reason: str, **details: str) -> Iterator[Any]:
    """The block is refused like this, and says these details."""
    with pytest.raises(kind) as caught:
        yield caught
    assert caught.value.reason == reason
    assert details.items() <= caught.value.metadata.items(), caught.value.metadata
    assert caught.value.message


async def change(data: Path, name: str, **values: Any) -> None:
    """Put an instance into a state that no call leads to."""
    database = Database(f"sqlite+aiosqlite:///{data}/api.sqlite3")
    async with database.transaction() as connection:
        sets = ", ".join(f"{key} = :{key}" for key in values)
        await connection.execute(
            text(f"UPDATE instances SET {sets}, version = version + 1 WHERE uid = :uid"),
            {**values, "uid": name.removeprefix("instances/")},
        )
    await database.close()


def moment(**offset: float) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(utcnow() + timedelta(**offset))
    return stamp


BAD_REQUESTS = {
    "name": pb.StartInstanceRequest(name="vm"),
    "name of another collection": pb.StartInstanceRequest(name=MISSING.replace("instances", "images")),
    "upper case": pb.StartInstanceRequest(name=MISSING.upper()),
    "request_id": pb.StartInstanceRequest(name=MISSING, request_id="again"),
    "nil request_id": pb.StartInstanceRequest(name=MISSING, request_id=str(uuid.UUID(int=0))),
    "request_id that is no UUID4": pb.StartInstanceRequest(name=MISSING, request_id=str(uuid.uuid1())),
    "on_conflict": pb.StartInstanceRequest(name=MISSING, on_conflict=9),  # type: ignore[arg-type]
    "mode": pb.StopInstanceRequest(name=MISSING, mode=9),  # type: ignore[arg-type]
    "grace": pb.StopInstanceRequest(name=MISSING, grace_period=Duration(seconds=3601)),
    "negative grace": pb.StopInstanceRequest(name=MISSING, grace_period=Duration(seconds=-1)),
    "page size": pb.ListInstancesRequest(page_size=-1),
    "page token": pb.ListInstancesRequest(page_token="two"),
    "filter": pb.ListInstancesRequest(filter="vm_state is ACTIVE"),
    "filter field": pb.ListInstancesRequest(filter='colour = "red"'),
    "filter value": pb.ListInstancesRequest(filter='vm_state = "BROKEN"'),
    "reason": pb.LockInstanceRequest(name=MISSING, reason="x" * 256),
    "mask": pb.UpdateInstanceRequest(
        instance=instance_pb2.Instance(name=MISSING), update_mask=FieldMask(paths=["uid"])
    ),
    "cursor": pb.WatchInstancesRequest(cursor="yesterday"),
    "max_bytes": pb.GetConsoleOutputRequest(name=MISSING, max_bytes=-1),
    "operation": operations_pb2.GetOperationRequest(name="operations/7"),
    "operation filter": operations_pb2.ListOperationsRequest(name="operations", filter='done = "maybe"'),
    "operation parent": operations_pb2.ListOperationsRequest(name="projects/p"),
    "source": image_pb2.ImportImageRequest(image=image_pb2.Image(display_name="x"), source="relative"),
    "image name": image_pb2.ImportImageRequest(source="/x"),
    "sha256": image_pb2.ImportImageRequest(image=image_pb2.Image(display_name="x"), source="/x", sha256="12"),
    "host": host_pb2.GetHostRequest(name="here"),
}


@pytest.mark.parametrize("bad", BAD_REQUESTS)
async def test_a_bad_field_is_named(door: Door, bad: str) -> None:
    request = BAD_REQUESTS[bad]
    with refused(InvalidArgument, "INVALID_FIELD") as caught:
        if isinstance(request, pb.WatchInstancesRequest):
            await _first(door, request)
        else:
            await door(request)
    assert [violation.field for violation in caught.value.violations]


async def _first(door: Door, request: Any) -> Any:
    with channel.errors():
        return await anext(aiter(door.stream(request)))


BAD_INSTANCES: dict[str, dict[str, Any]] = {
    "display_name": {"display_name": ""},
    "long name": {"display_name": "x" * 256},
    "control characters": {"display_name": "a\nb"},
    "vcpus": {"flavor": instance_pb2.Flavor(vcpus=0, memory_mib=64)},
    "memory": {"flavor": instance_pb2.Flavor(vcpus=1, memory_mib=31)},
    "disk": {"flavor": instance_pb2.Flavor(vcpus=1, memory_mib=64, root_gib=-1)},
    "image": {"image": "ubuntu"},
    "port and network": {"ports": [instance_pb2.InstancePort()]},
    "port": {"ports": [instance_pb2.InstancePort(port="ports/1")]},
    "volume": {"volumes": [instance_pb2.InstanceVolume(volume="1")]},
    "user_data": {"user_data": b"x" * 65_536},
    "metadata": {"metadata": {"": "x"}},
    "metadata value": {"metadata": {"x": "y" * 256}},
    "too much metadata": {"metadata": {str(number): "" for number in range(129)}},
}


@pytest.mark.parametrize("bad", BAD_INSTANCES)
async def test_a_bad_instance_is_refused_before_anything_is_made(door: Door, bad: str) -> None:
    with refused(InvalidArgument, "INVALID_FIELD") as caught:
        await door.create(instance=BAD_INSTANCES[bad])
    assert caught.value.violations[0].field.startswith("instance.")
    assert not (await door(pb.ListInstancesRequest())).instances


async def test_a_deadline_must_be_in_the_next_24_hours(door: Door) -> None:
    for bad in (moment(seconds=-1), moment(hours=25), Timestamp(seconds=1 << 60)):
        with refused(InvalidArgument, "INVALID_FIELD", field="deadline"):
            await door(pb.StartInstanceRequest(name=MISSING, deadline=bad))


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer x"},
        {"x-protostar-user": ""},
        {"x-protostar-user": "a b"},
        {"x-protostar-user": "a", "x-protostar-roles": "owner"},
        {"x-protostar-user": "a", "x-protostar-roles": ""},
        {"x-protostar-user": "a", "x-protostar-project": "../p"},
        {"x-protostar-project": "p"},
        {"x-protostar-roles": "admin"},
    ],
)
async def test_a_bad_credential_is_refused_before_the_request_is_read(door: Door, headers: dict[str, str]) -> None:
    with refused(Unauthenticated, "UNAUTHENTICATED"):
        await door(pb.StartInstanceRequest(name="not even a name"), metadata=tuple(headers.items()))


async def test_a_caller_without_roles_is_a_member_of_the_default_project(door: Door) -> None:
    name = await door.created()
    assert (await door(pb.GetInstanceRequest(name=name), metadata=(("x-protostar-user", "eve"),))).name == name
    with refused(PermissionDenied, "PERMISSION_DENIED", permission="host.list"):
        await door(host_pb2.ListHostsRequest(), metadata=(("x-protostar-user", "eve"),))


async def test_policy_comes_after_visibility_and_before_everything_else(door: Door) -> None:
    name = await door.created()
    reader = door.as_("rita", roles="reader")
    with refused(PermissionDenied, "PERMISSION_DENIED", permission="instance.start", user="rita"):
        await reader(pb.StartInstanceRequest(name=name, etag="stale"))
    assert (await reader.get(name)).vm_state == ACTIVE
    stranger = door.as_("sam", project="other", roles="reader")
    with refused(NotFound, "INSTANCE_NOT_FOUND", instance=name):
        await stranger(pb.StartInstanceRequest(name=name))
    assert not (await stranger(pb.ListInstancesRequest())).instances


async def test_what_is_not_there_is_not_found(door: Door) -> None:
    with refused(NotFound, "INSTANCE_NOT_FOUND", instance=MISSING) as caught:
        await door(pb.StartInstanceRequest(name=MISSING))
    assert (caught.value.resource.kind, caught.value.resource.name) == ("instance", MISSING)
    with refused(NotFound, "IMAGE_NOT_FOUND"):
        await door.create(instance={"image": MISSING.replace("instances", "images")})
    with refused(NotFound, "NETWORK_NOT_FOUND"):
        network = MISSING.replace("instances", "networks")
        await door.create(instance={"ports": [instance_pb2.InstancePort(network=network)]})
    with refused(NotFound, "OPERATION_NOT_FOUND"):
        await door.operation(MISSING.replace("instances", "operations"))
    with refused(NotFound, "HOST_UNKNOWN", host="hosts/there"):
        await door(host_pb2.GetHostRequest(name="hosts/there"))


async def test_no_default_network_is_told_before_anything_is_made(door: Door, peers: Peers) -> None:
    peers.netblock.networks.clear()
    with refused(NotFound, "NETWORK_NOT_FOUND", network="default"):
        await door.create()
    assert not (await door(pb.ListInstancesRequest())).instances
    await door.created(without_network=True)


async def test_what_exists_already_is_not_made_again(door: Door) -> None:
    name = await door.created()
    with refused(AlreadyExists, "INSTANCE_ALREADY_EXISTS", instance=name) as caught:
        await door.create(instance_id=name.removeprefix("instances/"))
    assert caught.value.resource.kind == "instance"


async def test_a_locked_instance_is_changed_by_admins_only(door: Door) -> None:
    member = door.as_("mia")
    name = await member.created()
    await member(pb.LockInstanceRequest(name=name, reason="a demo is on"))
    with refused(FailedPrecondition, "INSTANCE_LOCKED", lock_reason="a demo is on", locked_by="owner") as caught:
        await member(pb.StopInstanceRequest(name=name))
    assert caught.value.precondition.type == "LOCK"
    with refused(FailedPrecondition, "INSTANCE_LOCKED"):
        await member(pb.UpdateInstanceRequest(instance=instance_pb2.Instance(name=name, display_name="x")))
    await door.done(pb.StopInstanceRequest(name=name))
    await member(pb.UnlockInstanceRequest(name=name))
    await member.done(pb.StartInstanceRequest(name=name))


async def test_an_admins_lock_is_taken_away_by_admins_only(door: Door) -> None:
    member = door.as_("mia")
    name = await member.created()
    locked = await door(pb.LockInstanceRequest(name=name))
    assert locked.locked
    with refused(PermissionDenied, "PERMISSION_DENIED", permission="instance.unlock_override"):
        await member(pb.UnlockInstanceRequest(name=name))
    with refused(FailedPrecondition, "INSTANCE_LOCKED"):
        await member(pb.LockInstanceRequest(name=name, reason="mine now"))
    assert not (await door(pb.UnlockInstanceRequest(name=name))).locked
    assert not (await member(pb.UnlockInstanceRequest(name=name))).locked


async def test_not_placed_and_placed_on_an_unknown_host(door: Door, data: Path) -> None:
    name = await door.stopped()
    await change(data, name, host="")
    with refused(FailedPrecondition, "INSTANCE_NOT_READY", instance=name):
        await door(pb.StartInstanceRequest(name=name))
    await change(data, name, host="elsewhere")
    with refused(NotFound, "HOST_UNKNOWN", host="hosts/elsewhere"):
        await door(pb.StartInstanceRequest(name=name))


STATES = {state: instance_pb2.VmState.Name(state).removeprefix("VM_STATE_") for state in instance_pb2.VmState.values()}
STARTABLE, STOPPABLE = {"STOPPED"}, {"ACTIVE", "ERROR"}


@pytest.mark.parametrize("request_of", [pb.StartInstanceRequest, pb.StopInstanceRequest])
async def test_the_vm_state_must_allow_it(door: Door, data: Path, request_of: Any) -> None:
    name = await door.stopped()
    allowed = STARTABLE if request_of is pb.StartInstanceRequest else STOPPABLE
    for state in sorted(set(STATES.values()) - allowed - {"UNSPECIFIED", "DELETED"}):
        await change(data, name, vm_state=state)
        with refused(
            FailedPrecondition,
            "INSTANCE_INVALID_STATE",
            attr="vm_state",
            value=state,
            allowed=",".join(sorted(allowed)),
        ) as caught:
            await door(request_of(name=name))
        assert caught.value.precondition.subject == name
        await change(data, name, vm_state="STOPPED")


async def test_what_never_ran_is_not_started(door: Door, data: Path) -> None:
    name = await door.stopped()
    await change(data, name, launch_time=None)
    with refused(FailedPrecondition, "INSTANCE_INVALID_STATE", attr="launch_time"):
        await door(pb.StartInstanceRequest(name=name))


async def test_another_task_in_flight(door: Door, peers: Peers) -> None:
    name = await door.stopped()
    peers.host.hold["launch"] = asyncio.Event()
    running = await door(pb.StartInstanceRequest(name=name))
    with refused(
        Aborted, "OPERATION_IN_PROGRESS", operation=running.name, task_state="POWERING_ON", instance=name
    ) as caught:
        await door(pb.StartInstanceRequest(name=name))
    assert caught.value.retry_after == 1.0
    peers.host.hold.pop("launch").set()
    assert not (await door.ended(running)).HasField("error")


async def test_a_stale_etag(door: Door) -> None:
    name = await door.stopped()
    stale = (await door.get(name)).etag
    await door(pb.UpdateInstanceRequest(instance=instance_pb2.Instance(name=name, display_name="new")))
    for request in (
        pb.StartInstanceRequest(name=name, etag=stale),
        pb.DeleteInstanceRequest(name=name, etag=stale),
        pb.LockInstanceRequest(name=name, etag=stale),
        pb.UpdateInstanceRequest(instance=instance_pb2.Instance(name=name, display_name="x", etag=stale)),
    ):
        with refused(Aborted, "CONCURRENT_UPDATE", instance=name) as caught:
            await door(request)
        assert caught.value.retry_after is not None
    fresh = (await door.get(name)).etag
    await door.done(pb.StartInstanceRequest(name=name, etag=fresh))


async def test_a_request_id_means_one_request(door: Door) -> None:
    name, again = await door.stopped(), str(uuid.uuid4())
    first = await door.done(pb.StartInstanceRequest(name=name, request_id=again))
    assert (await door(pb.StartInstanceRequest(name=name, request_id=again))).name == first.name
    for other in (
        pb.StartInstanceRequest(name=name, request_id=again, repair=True),
        pb.StopInstanceRequest(name=name, request_id=again),
        pb.LockInstanceRequest(name=name, request_id=again),
    ):
        with refused(InvalidArgument, "REQUEST_ID_REUSED", request_id=again, operation=first.name):
            await door(other)


async def test_quota_and_capacity(narrow: Door) -> None:
    door = narrow
    big = instance_pb2.Flavor(vcpus=1, memory_mib=1_000_000)
    with refused(ResourceExhausted, "NO_CAPACITY", memory_mib="1000000"):
        await door.create(instance={"flavor": big})
    for _ in range(2):
        await door.created()
    with refused(ResourceExhausted, "QUOTA_EXCEEDED", project="default", limit="2", used="2"):
        await door.create()
    await door.as_("olga", project="other").created()


async def test_an_image_has_demands_on_the_flavor(door: Door, peers: Peers) -> None:
    demands = {
        "root_gib": {"min_disk_gib": 2},
        "memory_mib": {"min_memory_mib": 65},
    }
    for field, demand in demands.items():
        with refused(InvalidArgument, "INVALID_FIELD", field=f"instance.flavor.{field}"):
            await door.create(instance={"image": peers.catalogue.add(**demand), "flavor": FLAVOR})
    with refused(InvalidArgument, "INVALID_FIELD", field="instance.flavor.root_gib"):
        await door.create(instance={"image": peers.catalogue.add(virtual_size_bytes=2 << 30)})
    await door.created(instance={"image": peers.catalogue.add(disk_format="iso", virtual_size_bytes=2 << 30)})


async def test_a_refusal_changes_nothing(door: Door) -> None:
    name = await door.created()
    before = await door.get(name)
    count = len((await door(operations_pb2.ListOperationsRequest(name="operations"))).operations)
    for request in (
        pb.StartInstanceRequest(name=name),
        pb.StopInstanceRequest(name=name, etag='"x"'),
        pb.StopInstanceRequest(name=name, grace_period=Duration(seconds=-5)),
    ):
        with pytest.raises(ProtostarError):
            await door(request)
    assert await door.get(name) == before
    assert len((await door(operations_pb2.ListOperationsRequest(name="operations"))).operations) == count


async def test_a_plan_changes_nothing_and_names_its_steps(door: Door) -> None:
    name = await door.stopped()
    before = await door.get(name)
    plan = await door(pb.StartInstanceRequest(name=name, validate_only=True, request_id=str(uuid.uuid4())))
    assert plan.done and not plan.name and plan.HasField("response")
    told = metadata(plan)
    assert told.validate_only and [step.name for step in told.steps][:2] == ["claim", "network_info"]
    assert {step.state for step in told.steps} == {1}
    assert await door.get(name) == before
    with refused(FailedPrecondition, "INSTANCE_INVALID_STATE"):
        await door(pb.StopInstanceRequest(name=name, validate_only=True))
    create = await door.create(validate_only=True)
    assert metadata(create).steps[0].name == "bind"
    assert len((await door(pb.ListInstancesRequest())).instances) == 1
