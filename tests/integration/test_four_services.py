"""The four services together, as processes over real sockets, on libvirt's test driver."""

from __future__ import annotations

import time
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from google.longrunning import operations_pb2
from google.rpc import error_details_pb2
from google.rpc.status_pb2 import Status
from protostar.api.v1 import host_pb2, image_pb2, instance_pb2, operation_pb2
from protostar.api.v1 import instance_service_pb2 as pb

from tests.client import Client, metadata, steps, unpack
from tests.stack import Stack

ACTIVE, STOPPED = instance_pb2.VM_STATE_ACTIVE, instance_pb2.VM_STATE_STOPPED
SMALL = instance_pb2.Flavor(vcpus=1, memory_mib=32)
FORCE = pb.STOP_MODE_FORCE


@pytest.fixture
def name(client: Client, image: image_pb2.Image) -> str:
    """A new instance, ACTIVE."""
    return client.finish(client.create(image.name, flavor=SMALL), instance_pb2.Instance).name


def refusal(error: pytest.ExceptionInfo[Any]) -> error_details_pb2.ErrorInfo:
    status = Status.FromString(dict(error.value.trailing_metadata())["grpc-status-details-bin"])
    (info,) = [each for each in status.details if each.Is(error_details_pb2.ErrorInfo.DESCRIPTOR)]
    return unpack(info, error_details_pb2.ErrorInfo)


def test_a_life(client: Client, name: str) -> None:
    made = client.get(name)
    assert (made.vm_state, made.power_state) == (ACTIVE, instance_pb2.POWER_STATE_RUNNING)
    assert made.ports[0].mac_address and made.ports[0].ip_addresses

    stopped = client.finish(client.stop(name, mode=FORCE), pb.StopInstanceResponse)
    assert (stopped.outcome, stopped.instance.vm_state) == (pb.STOP_OUTCOME_KILLED, STOPPED)

    start = client.wait(client.start(name))
    response = unpack(start.response, pb.StartInstanceResponse)
    assert response.fast_start and response.instance.ports == made.ports
    told = steps(start)
    assert list(told)[:: len(told) - 1] == ["claim", "running"]
    assert told["define"].state == operation_pb2.STEP_STATE_SKIPPED

    repaired = client.finish(client.start(_stopped(client, name), repair=True), pb.StartInstanceResponse)
    assert not repaired.fast_start

    reboot = client.finish(client.reboot(name, mode=pb.REBOOT_MODE_HARD), pb.RebootInstanceResponse)
    assert reboot.instance.vm_state == ACTIVE

    client.wait(client.delete(name))
    with pytest.raises(grpc.RpcError) as caught:
        client.get(name)
    assert refusal(caught).reason == "INSTANCE_NOT_FOUND"


def _stopped(client: Client, name: str) -> str:
    client.finish(client.stop(name, mode=FORCE), pb.StopInstanceResponse)
    return name


def test_the_plan_names_the_steps_that_are_then_done(client: Client, name: str) -> None:
    _stopped(client, name)
    plan = client.start(name, validate_only=True)
    done = client.wait(client.start(name, repair=True))
    # Two of them are done at once, in any order.
    assert sorted(step.name for step in metadata(plan).steps) == sorted(steps(done))
    for verb, fields in (("stop", {}), ("delete", {})):
        plan = getattr(client, verb)(name, validate_only=True, **fields)
        done = client.wait(getattr(client, verb)(name, **fields))
        assert [step.name for step in metadata(plan).steps] == list(steps(done))


def test_one_trace_from_the_client_to_libvirt_and_back(stack: Stack, client: Client, name: str) -> None:
    _stopped(client, name)
    trace, parent = uuid.uuid4().hex, uuid.uuid4().hex[:16]
    operation, call = client.instances.StartInstance.with_call(
        pb.StartInstanceRequest(name=name), metadata=(("traceparent", f"00-{trace}-{parent}-01"),)
    )
    assert trace in dict(call.trailing_metadata())["traceresponse"]
    done = client.wait(operation)
    assert metadata(done).trace_id == trace
    spans = _settled_spans(stack, trace)
    by_id = {span["spanId"]: span for span in spans}
    assert {span["service"] for span in spans} == {"api_svc", "compute_svc", "image_svc", "netblock_svc"}
    roots = [span for span in spans if span["parentSpanId"] not in by_id]
    assert [(span["parentSpanId"], span["name"]) for span in roots] == [
        (parent, "protostar.api.v1.InstanceService/StartInstance")
    ]
    names = {span["name"] for span in spans}
    assert {"operation start", "step network_info", "step backing", "libvirt create"} <= names
    attempt = next(span for span in spans if span["name"] == "operation start")
    assert attempt["attributes"]["protostar.operation"] == operation.name.removeprefix("operations/")
    assert by_id[attempt["parentSpanId"]]["name"].endswith("/StartInstance")


def test_what_a_start_costs(stack: Stack, client: Client, name: str) -> None:
    """The budget of design §10, which is a promise: 3 transactions, 10 statements, 4 RPCs behind the door."""
    trace = metadata(client.wait(client.start(_stopped(client, name)))).trace_id
    spans = _settled_spans(stack, trace)
    kinds = Counter(span["name"].partition(" ")[0] for span in spans)
    statements = sum(int(span["attributes"].get("protostar.statements", 0)) for span in spans)
    behind = [span for span in spans if "/" in span["name"] and span["kind"] == 3]
    assert kinds["TRANSACTION"] <= 3, kinds
    assert statements <= 10, kinds
    assert len(behind) <= 4, [span["name"] for span in behind]


def _settled_spans(stack: Stack, trace: str) -> list[dict[str, Any]]:
    """All spans of a trace, once no more of them come."""
    deadline, seen = time.monotonic() + 20, -1
    while time.monotonic() < deadline:
        spans = stack.spans(trace)
        ended = any(span["name"].startswith("operation ") for span in spans)
        if ended and len(spans) == seen:
            return spans
        seen = len(spans)
        time.sleep(0.5)
    raise AssertionError(f"the spans of {trace} did not settle: {seen}")


def test_twenty_at_once_each_boot_once(client: Client, image: image_pb2.Image) -> None:
    with ThreadPoolExecutor(20) as pool:
        made = pool.map(lambda _: client.wait(client.create(image.name, flavor=SMALL)), range(20))
        names = [metadata(each).target for each in made]
        for command in (
            lambda each: client.stop(each, mode=FORCE),
            client.start,
            lambda each: client.reboot(each, mode=pb.REBOOT_MODE_HARD),
        ):
            ended = [client.wait(operation) for operation in pool.map(command, names)]
            assert not any(each.HasField("error") for each in ended)
        assert {client.get(each).vm_state for each in names} == {ACTIVE}
        macs = {client.get(each).ports[0].mac_address for each in names}
        assert len(macs) == 20
        list(pool.map(lambda each: client.wait(client.delete(each)), names))


def test_a_start_is_superseded_by_a_stop(client: Client, name: str) -> None:
    """Whichever wins the race, both operations end, and the instance is off."""
    _stopped(client, name)
    start = client.start(name)
    try:
        stop = client.stop(name, mode=FORCE)
    except grpc.RpcError:  # the start was not running any more, nor yet again
        client.wait(start)
        stop = client.stop(name, mode=FORCE)
    assert not client.wait(stop).HasField("error")
    ended = metadata(client.wait(start)).state
    assert ended in (operation_pb2.OPERATION_STATE_SUCCEEDED, operation_pb2.OPERATION_STATE_SUPERSEDED)
    instance = client.get(name)
    assert (instance.vm_state, instance.power_state) == (STOPPED, instance_pb2.POWER_STATE_SHUTDOWN)


def test_the_host_counts_what_it_promised(client: Client, name: str) -> None:
    before = client.hosts.GetHost(host_pb2.GetHostRequest(name="hosts/here"))
    client.wait(client.delete(name))
    after = client.hosts.GetHost(host_pb2.GetHostRequest(name="hosts/here"))
    assert (before.instances - after.instances, before.memory_mib_used - after.memory_mib_used) == (1, 32)
    assert after.domain_type == "test" and after.libvirt_version


def test_an_image_that_is_missing_is_refused(client: Client) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        client.create(f"images/{uuid.uuid4()}")
    assert refusal(caught).reason == "IMAGE_NOT_FOUND"


def test_a_restart_of_every_service_in_turn_is_not_noticed(stack: Stack, client: Client, name: str) -> None:
    for service in ("netblock_svc", "image_svc", "api_svc"):
        assert stack.stop(service) == 0
        stack.start(service)
        if service == "api_svc":
            stack.wait_for_host()
        client.finish(client.stop(name, mode=FORCE), pb.StopInstanceResponse)
        client.finish(client.start(name), pb.StartInstanceResponse)
    assert client.get(name).vm_state == ACTIVE


def test_operations_outlive_their_instance(client: Client, name: str) -> None:
    client.wait(client.delete(name))
    listed = client.operations.ListOperations(
        operations_pb2.ListOperationsRequest(name="operations", filter=f'target = "{name}"')
    ).operations
    assert [metadata(each).verb for each in listed] == [operation_pb2.VERB_CREATE, operation_pb2.VERB_DELETE]
