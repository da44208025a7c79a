"""What can be done with instances and operations, over the wire."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest
from google.longrunning import operations_pb2
from google.protobuf.empty_pb2 import Empty
from google.protobuf.field_mask_pb2 import FieldMask
from google.rpc import error_details_pb2
from protostar.api.v1 import image_pb2, instance_pb2, operation_pb2
from protostar.compute.v1 import compute_pb2

from svckit import channel
from svckit.errors import FailedPrecondition, Internal, InvalidArgument, NotFound, PermissionDenied
from tests.fakes.api_peers import RUNNING, Peers
from tests.integration.api_door import Door, becomes, eventually, metadata, pb, unpack

State = operation_pb2.OperationState
STOPPED, ACTIVE, ERROR = instance_pb2.VM_STATE_STOPPED, instance_pb2.VM_STATE_ACTIVE, instance_pb2.VM_STATE_ERROR
NONE = instance_pb2.TASK_STATE_NONE
JOIN = pb.ON_CONFLICT_JOIN
SOFT, HARD = pb.REBOOT_MODE_SOFT, pb.REBOOT_MODE_HARD


def state(operation: operations_pb2.Operation) -> Any:
    return metadata(operation).state


def reason(operation: operations_pb2.Operation) -> str:
    infos = [each for each in operation.error.details if each.Is(error_details_pb2.ErrorInfo.DESCRIPTOR)]
    assert len(infos) == 1
    return str(unpack(infos[0], error_details_pb2.ErrorInfo).reason)


def uid(name: str) -> str:
    return name.partition("/")[2]


async def test_a_life(door: Door, peers: Peers) -> None:
    name = await door.created(instance={"user_data": b"#!", "metadata": {"role": "web"}, "config_drive": True})
    made = await door.get(name)
    assert (made.vm_state, made.task_state, made.power_state) == (ACTIVE, NONE, RUNNING)
    assert (made.host, made.generation, made.user, made.user_data) == ("hosts/here", 1, "admin", b"#!")
    assert made.ports[0].ip_addresses and made.launch_time.seconds and not made.current_operation
    assert peers.netblock.bound[uid(name)]

    stop = await door.done(pb.StopInstanceRequest(name=name))
    stopped = unpack(stop.response, pb.StopInstanceResponse)
    assert stopped.outcome == pb.STOP_OUTCOME_GUEST_STOPPED
    assert stopped.instance == await door.get(name)
    assert (stopped.instance.vm_state, stopped.instance.power_state) == (STOPPED, instance_pb2.POWER_STATE_SHUTDOWN)

    start = unpack((await door.done(pb.StartInstanceRequest(name=name))).response, pb.StartInstanceResponse)
    assert start.fast_start and start.instance.vm_state == ACTIVE and start.instance.user_data == b"#!"

    reboot = await door.done(pb.RebootInstanceRequest(name=name, mode=HARD))
    assert unpack(reboot.response, pb.RebootInstanceResponse).performed == HARD

    delete = await door.done(pb.DeleteInstanceRequest(name=name))
    assert delete.response.Is(Empty.DESCRIPTOR)
    assert [step.name for step in metadata(delete).steps][-1] == "release"
    with pytest.raises(NotFound):
        await door.get(name)
    assert not peers.netblock.bound and not peers.host.guests
    kept = await door(operations_pb2.ListOperationsRequest(name="operations", filter=f'target = "{name}"'))
    verbs = [operation_pb2.Verb.Name(metadata(each).verb) for each in kept.operations]
    assert verbs == ["VERB_CREATE", "VERB_STOP", "VERB_START", "VERB_REBOOT", "VERB_DELETE"]


async def test_the_command_says_all_that_the_host_needs(door: Door, peers: Peers) -> None:
    image = peers.catalogue.add(properties={"os_shutdown_timeout": "7", "hw_disk_bus": "scsi"})
    name = await door.created(instance={"image": image, "display_name": "web", "metadata": {"a": "b"}})
    await door.done(pb.StopInstanceRequest(name=name))
    start, stop = peers.host.requests
    assert (start.spec.uid, start.spec.display_name, start.spec.image) == (uid(name), "web", uid(image))
    assert dict(start.spec.image_properties)["hw_disk_bus"] == "scsi" and dict(start.spec.metadata) == {"a": "b"}
    assert (start.command.generation, start.command.attempt, stop.command.generation) == (1, 1, 2)
    assert 590 < start.command.time_left.seconds <= 600
    assert stop.grace_period.seconds == 7


async def test_metadata_says_where_it_is_and_why_it_waits(door: Door, peers: Peers) -> None:
    name = await door.stopped()
    peers.host.hold["backing"], peers.host.detail["backing"] = asyncio.Event(), "waiting for image_svc"
    trace = "0af7651916cd43dd8448eb211c80319c"
    operation = await door(
        pb.StartInstanceRequest(name=name), metadata=(("traceparent", f"00-{trace}-b7ad6b7169203331-01"),)
    )
    busy = await door.get(name)
    assert (busy.task_state, busy.current_operation) == (instance_pb2.TASK_STATE_POWERING_ON, operation.name)

    async def waits() -> bool:
        return metadata(await door.operation(operation.name)).waiting_for == "IMAGE_SERVICE"

    await eventually(waits)
    told = metadata(await door.operation(operation.name))
    assert [(step.name, step.state) for step in told.steps] == [
        ("claim", operation_pb2.STEP_STATE_DONE),
        ("backing", operation_pb2.STEP_STATE_RUNNING),
    ]
    assert (told.verb, told.target, told.state) == (operation_pb2.VERB_START, name, State.OPERATION_STATE_RUNNING)
    assert (told.actor, told.project, told.attempt, told.generation) == ("users/admin", "default", 1, 3)
    assert told.trace_id == trace and told.start_time.seconds and not told.HasField("end_time")
    peers.host.hold["backing"].set()
    done = metadata(await door.ended(operation))
    assert done.waiting_for == "" and done.end_time.seconds and len(done.steps) == 5


async def test_a_failed_start_leaves_it_stopped_with_a_fault(door: Door, peers: Peers) -> None:
    name = await door.stopped()
    peers.host.fail["running"] = Internal("the guest died", reason="DOMAIN_DIED", metadata={"leftovers": ""})
    failed = await door.ended(await door(pb.StartInstanceRequest(name=name)))
    assert state(failed) == State.OPERATION_STATE_FAILED and reason(failed) == "DOMAIN_DIED"
    instance = await door.get(name)
    assert (instance.vm_state, instance.task_state) == (STOPPED, NONE)
    assert (instance.fault.reason, instance.fault.step, instance.fault.code) == ("DOMAIN_DIED", "running", 13)
    assert instance.fault.operation == failed.name
    del peers.host.fail["running"]
    await door.done(pb.StartInstanceRequest(name=name))
    assert not (await door.get(name)).HasField("fault")


async def test_a_failed_creation_keeps_no_ports_and_can_be_deleted(door: Door, peers: Peers) -> None:
    peers.host.fail["launch"] = Internal("no", reason="DOMAIN_DIED")
    operation = await door.ended(await door.create())
    name = metadata(operation).target
    instance = await door.get(name)
    assert (instance.vm_state, instance.fault.reason) == (ERROR, "DOMAIN_DIED")
    assert not peers.netblock.bound
    assert metadata(operation).steps[-1].name == "release"
    peers.host.fail.clear()
    await door.done(pb.RebootInstanceRequest(name=name, mode=HARD))
    assert (await door.get(name)).vm_state == ACTIVE and peers.netblock.bound
    await door.done(pb.DeleteInstanceRequest(name=name))


async def test_what_could_not_be_undone_is_named(door: Door, peers: Peers) -> None:
    peers.host.fail["launch"] = Internal("no", reason="DOMAIN_DIED", metadata={"leftovers": "disk"})
    peers.netblock.fail_release = Internal("also no")
    operation = await door.ended(await door.create())
    assert "disk,ports" in str(operation.error.details)


async def test_a_failed_stop_and_a_failed_delete_leave_the_vm_state(door: Door, peers: Peers) -> None:
    name = await door.created()
    peers.host.fail["destroy"] = Internal("stuck", reason="DOMAIN_STILL_ACTIVE")
    for request in (pb.StopInstanceRequest(name=name), pb.DeleteInstanceRequest(name=name)):
        assert reason(await door.ended(await door(request))) == "DOMAIN_STILL_ACTIVE"
        instance = await door.get(name)
        assert (instance.vm_state, instance.task_state) == (ACTIVE, NONE)
        assert instance.fault.reason == "DOMAIN_STILL_ACTIVE"
    peers.host.fail.clear()
    await door.done(pb.DeleteInstanceRequest(name=name))


async def test_a_failed_reboot_is_judged_by_the_guest(door: Door, peers: Peers) -> None:
    name = await door.created()
    peers.host.fail["shutdown"] = Internal("deaf", reason="DEAF")
    await door.ended(await door(pb.RebootInstanceRequest(name=name)))
    assert (await door.get(name)).vm_state == ACTIVE
    peers.host.fail = {"launch": Internal("no", reason="DOMAIN_DIED")}
    peers.host.hold["launch"] = asyncio.Event()
    operation = await door(pb.RebootInstanceRequest(name=name, mode=HARD))
    await eventually(lambda: peers.host.guests[uid(name)].power != RUNNING)
    peers.host.see(uid(name), peers.host.guests[uid(name)].power)
    await asyncio.sleep(0.1)
    peers.host.hold["launch"].set()
    await door.ended(operation)
    assert (await door.get(name)).vm_state == ERROR


async def test_join_takes_what_is_there(door: Door, peers: Peers) -> None:
    name = await door.created()
    again = str(uuid.uuid4())
    request = pb.StartInstanceRequest(name=name, on_conflict=JOIN, request_id=again)
    nothing = await door(request)
    assert nothing.done and metadata(nothing).no_op
    assert unpack(nothing.response, pb.StartInstanceResponse).instance.vm_state == ACTIVE
    assert (await door(request)).name == nothing.name == (await door.operation(nothing.name)).name
    peers.host.hold["shutdown"] = asyncio.Event()
    first = await door(pb.StopInstanceRequest(name=name))
    second = await door(pb.StopInstanceRequest(name=name, on_conflict=JOIN))
    assert first.name == second.name and not second.done
    peers.host.hold["shutdown"].set()
    await door.ended(first)
    there = await door(pb.StopInstanceRequest(name=name, on_conflict=JOIN))
    assert unpack(there.response, pb.StopInstanceResponse).outcome == pb.STOP_OUTCOME_ALREADY_OFF


SUPERSEDING = {
    "stop": lambda name: pb.StopInstanceRequest(name=name, mode=pb.STOP_MODE_FORCE),
    "hard reboot": lambda name: pb.RebootInstanceRequest(name=name, mode=HARD),
    "delete": lambda name: pb.DeleteInstanceRequest(name=name),
}


@pytest.mark.parametrize("later", SUPERSEDING)
async def test_a_start_that_hangs_is_superseded(door: Door, peers: Peers, later: str) -> None:
    name = await door.stopped()
    peers.host.hold["launch"] = asyncio.Event()
    hanging = await door(pb.StartInstanceRequest(name=name))
    waiting = asyncio.create_task(door.ended(hanging))
    await eventually(lambda: peers.host.stage(uid(hanging.name)) == "launch")
    del peers.host.hold["launch"]
    operation = await door(SUPERSEDING[later](name))
    assert not (await door.ended(operation)).HasField("error")
    ended = await waiting
    assert state(ended) == State.OPERATION_STATE_SUPERSEDED and reason(ended) == "SUPERSEDED"
    assert metadata(ended).steps[-1].name == "launch"
    assert (await door.operation(hanging.name)).done
    if later != "delete":
        instance = await door.get(name)
        assert instance.task_state == NONE and not instance.HasField("fault")
        assert instance.vm_state == (STOPPED if later == "stop" else ACTIVE)


async def test_delete_supersedes_a_creation_that_hangs(door: Door, peers: Peers) -> None:
    peers.netblock.hold = asyncio.Event()
    creation = await door.create()
    name = metadata(creation).target
    delete = await door(pb.DeleteInstanceRequest(name=name))
    peers.netblock.hold.set()
    assert not (await door.ended(delete)).HasField("error")
    assert state(await door.ended(creation)) == State.OPERATION_STATE_SUPERSEDED
    assert not peers.netblock.bound


async def test_cancel_during_the_work(door: Door, peers: Peers) -> None:
    name = await door.stopped()
    peers.host.hold["launch"] = asyncio.Event()
    operation = await door(pb.StartInstanceRequest(name=name))
    await eventually(lambda: uid(operation.name) in peers.host.works)
    await door(operations_pb2.CancelOperationRequest(name=operation.name))
    ended = await door.ended(operation)
    assert (ended.error.code, state(ended)) == (1, State.OPERATION_STATE_CANCELLED)
    assert metadata(ended).cancel_requested
    instance = await door.get(name)
    assert (instance.vm_state, instance.task_state) == (STOPPED, NONE)


async def test_cancel_that_comes_too_late_says_so(door: Door) -> None:
    name = await door.stopped()
    operation = await door.done(pb.StartInstanceRequest(name=name))
    await door(operations_pb2.CancelOperationRequest(name=operation.name))
    kept = await door.operation(operation.name)
    assert state(kept) == State.OPERATION_STATE_SUCCEEDED and not metadata(kept).cancel_requested


async def test_cancel_before_anybody_heard_of_it(door: Door, peers: Peers) -> None:
    name = await door.stopped()
    await peers.take_away("compute")
    operation = await door(pb.StartInstanceRequest(name=name))

    async def waits() -> bool:
        return metadata(await door.operation(operation.name)).waiting_for == "HOST"

    await eventually(waits)
    await door(operations_pb2.CancelOperationRequest(name=operation.name))
    ended = await door.ended(operation)
    assert state(ended) == State.OPERATION_STATE_CANCELLED
    assert (await door.get(name)).vm_state == STOPPED
    await peers.bring_back("compute")
    await door.done(pb.StartInstanceRequest(name=name))
    assert peers.host.guests[uid(name)].boots == 2


async def test_cancel_of_a_creation_that_binds(door: Door, peers: Peers) -> None:
    peers.netblock.hold = asyncio.Event()
    operation = await door.create()

    async def binds() -> bool:
        return bool(metadata(await door.operation(operation.name)).steps)

    await eventually(binds)
    await door(operations_pb2.CancelOperationRequest(name=operation.name))
    assert state(await door.ended(operation)) == State.OPERATION_STATE_CANCELLED
    assert (await door.get(metadata(operation).target)).vm_state == ERROR
    assert not any(isinstance(each, compute_pb2.StartInstanceRequest) for each in peers.host.requests)


async def test_waiting_answers_when_time_is_up(door: Door, peers: Peers) -> None:
    name = await door.stopped()
    peers.host.hold["launch"] = asyncio.Event()
    operation = await door(pb.StartInstanceRequest(name=name))
    request = operations_pb2.WaitOperationRequest(name=operation.name)
    request.timeout.FromMilliseconds(50)
    assert not (await door(request)).done
    assert not (await door(operations_pb2.WaitOperationRequest(name=operation.name), timeout=0.6)).done
    peers.host.hold["launch"].set()
    await door.ended(operation)


async def test_watching_tells_every_step_and_ends(door: Door, peers: Peers) -> None:
    name = await door.stopped()
    peers.host.hold["launch"] = asyncio.Event()
    operation = await door(pb.StartInstanceRequest(name=name))
    seen: list[operations_pb2.Operation] = []
    async for answer in door.stream(operation_pb2.WatchOperationRequest(name=operation.name)):
        seen.append(answer.operation)
        peers.host.hold["launch"].set()
    assert [each.done for each in seen] == [False] * (len(seen) - 1) + [True]
    counts = [sum(step.state == operation_pb2.STEP_STATE_DONE for step in metadata(each).steps) for each in seen]
    assert counts == sorted(counts) and counts[-1] == 5
    again = [each async for each in door.stream(operation_pb2.WatchOperationRequest(name=operation.name))]
    assert [each.operation for each in again] == [await door.operation(operation.name)]


async def test_operations_are_listed_page_by_page(door: Door) -> None:
    name = await door.stopped()
    for _ in range(3):
        await door.done(pb.StartInstanceRequest(name=name))
        await door.done(pb.StopInstanceRequest(name=name))
    list_of = operations_pb2.ListOperationsRequest
    whole = (await door(list_of(name="operations"))).operations
    assert len(whole) == 8
    paged: list[Any] = []
    token = ""
    while True:
        page = await door(list_of(name="operations", page_size=3, page_token=token))
        paged += page.operations
        token = page.next_page_token
        if not token:
            break
    assert paged == list(whole)
    starts = (await door(list_of(filter='verb = "START" AND state = "SUCCEEDED" AND done = "true"'))).operations
    assert len(starts) == 3
    assert not (await door(list_of(filter='done = "false"'))).operations
    first = await door(list_of(name="operations", page_size=3))
    with pytest.raises(InvalidArgument):
        await door(list_of(name="operations", filter='verb = "STOP"', page_token=first.next_page_token))


async def test_only_ended_operations_are_deleted(door: Door, peers: Peers) -> None:
    name = await door.stopped()
    peers.host.hold["launch"] = asyncio.Event()
    operation = await door(pb.StartInstanceRequest(name=name))
    with pytest.raises(FailedPrecondition) as caught:
        await door(operations_pb2.DeleteOperationRequest(name=operation.name))
    assert caught.value.reason == "OPERATION_NOT_DONE"
    peers.host.hold["launch"].set()
    await door.ended(operation)
    await door(operations_pb2.DeleteOperationRequest(name=operation.name))
    with pytest.raises(NotFound):
        await door.operation(operation.name)


async def test_operations_belong_to_their_project(door: Door) -> None:
    mia, sam = door.as_("mia"), door.as_("sam", project="other")
    operation = await mia.done(pb.StopInstanceRequest(name=await mia.created()))
    for request in (
        operations_pb2.GetOperationRequest(name=operation.name),
        operations_pb2.CancelOperationRequest(name=operation.name),
        operations_pb2.DeleteOperationRequest(name=operation.name),
        operations_pb2.WaitOperationRequest(name=operation.name),
    ):
        with pytest.raises(NotFound):
            await sam(request)
    assert not (await sam(operations_pb2.ListOperationsRequest(name="operations"))).operations
    with pytest.raises(PermissionDenied):
        await door.as_("rita", roles="reader")(operations_pb2.CancelOperationRequest(name=operation.name))
    assert metadata(await door.operation(operation.name)).actor == "users/mia"


async def test_an_update_changes_what_the_mask_says(door: Door) -> None:
    name = await door.created(instance={"display_name": "old", "metadata": {"a": "1"}})
    wanted = instance_pb2.Instance(name=name, display_name="new", metadata={"b": "2"})
    masked = pb.UpdateInstanceRequest(
        instance=wanted, update_mask=FieldMask(paths=["metadata"]), request_id=str(uuid.uuid4())
    )
    changed = await door(masked)
    assert (changed.display_name, dict(changed.metadata)) == ("old", {"b": "2"})
    assert await door(masked) == changed
    policy = instance_pb2.InstancePolicy(on_unexpected_stop=instance_pb2.UNEXPECTED_STOP_POLICY_RESTART)
    implicit = pb.UpdateInstanceRequest(instance=instance_pb2.Instance(name=name, policy=policy))
    changed = await door(implicit)
    assert changed.policy.on_unexpected_stop == instance_pb2.UNEXPECTED_STOP_POLICY_RESTART
    assert (changed.display_name, dict(changed.metadata)) == ("old", {"b": "2"})
    plan = pb.UpdateInstanceRequest(instance=wanted, validate_only=True)
    assert (await door(plan)).display_name == "new"
    assert (await door.get(name)).display_name == "old"


async def test_an_update_while_work_goes_on_is_kept(door: Door, peers: Peers) -> None:
    name = await door.stopped()
    peers.host.hold["launch"] = asyncio.Event()
    operation = await door(pb.StartInstanceRequest(name=name))
    await door(pb.UpdateInstanceRequest(instance=instance_pb2.Instance(name=name, display_name="new")))
    await door(pb.LockInstanceRequest(name=name, reason="mine"))
    peers.host.hold["launch"].set()
    done = unpack((await door.ended(operation)).response, pb.StartInstanceResponse).instance
    assert (done.vm_state, done.display_name, done.lock_reason) == (ACTIVE, "new", "mine")
    assert await door.get(name) == done


async def test_a_deadline_comes_before_a_grace_period(door: Door, peers: Peers) -> None:
    image = peers.catalogue.add(properties={"os_shutdown_timeout": "3600"})
    name = await door.created(instance={"image": image})
    await door.done(pb.StopInstanceRequest(name=name))
    assert 500 < peers.host.requests[-1].grace_period.seconds < 600


async def test_instances_are_listed_page_by_page_and_filtered(door: Door) -> None:
    names = [await door.created(instance={"display_name": f"vm{number}"}) for number in range(4)]
    await door.done(pb.StopInstanceRequest(name=names[0]))
    await door(pb.UpdateInstanceRequest(instance=instance_pb2.Instance(name=names[1], metadata={"role": "web"})))
    await door(pb.LockInstanceRequest(name=names[2]))

    async def listed(filter_text: str) -> list[str]:
        found = (await door(pb.ListInstancesRequest(filter=filter_text))).instances
        return [each.name for each in found]

    assert await listed("") == names
    assert await listed('vm_state = "STOPPED"') == await listed('vm_state = "VM_STATE_STOPPED"') == names[:1]
    assert await listed('vm_state = "ACTIVE" AND metadata.role != "web"') == names[2:]
    assert await listed('metadata.role = "web"') == names[1:2]
    assert await listed('locked = "true"') == names[2:3]
    assert await listed('power_state = "RUNNING" AND host = "hosts/here"') == names[1:]
    assert await listed('display_name = "vm3" AND project = "default"') == names[3:]
    assert await listed('task_state != "NONE"') == []
    first = await door(pb.ListInstancesRequest(page_size=3))
    rest = await door(pb.ListInstancesRequest(page_size=3, page_token=first.next_page_token))
    assert [each.name for each in (*first.instances, *rest.instances)] == names and not rest.next_page_token


async def test_a_big_page_still_fits_into_a_message(door: Door) -> None:
    for _ in range(3):
        await door.created(instance={"user_data": b"x" * 65_535, "metadata": {"k": "v" * 255}})
    found, token, pages = 0, "", 0
    while True:
        page = await door(pb.ListInstancesRequest(page_size=1000, page_token=token))
        found, token, pages = found + len(page.instances), page.next_page_token, pages + 1
        if not token:
            break
    assert found == 3 and pages >= 1


async def test_console(door: Door) -> None:
    name = await door.created()
    output = await door(pb.GetConsoleOutputRequest(name=name))
    assert output.output.endswith("\ufffdhello")
    assert (await door(pb.GetConsoleOutputRequest(name=name, max_bytes=5))).output == "hello"


async def test_images_are_imported_by_an_operation(door: Door, peers: Peers) -> None:
    peers.catalogue.hold = asyncio.Event()
    request = image_pb2.ImportImageRequest(
        image=image_pb2.Image(display_name="debian"), source="/debian.qcow2", request_id=str(uuid.uuid4())
    )
    operation = await door(request)
    assert (await door(request)).name == operation.name

    async def progresses() -> bool:
        return metadata(await door.operation(operation.name)).progress.done_bytes == 5

    await eventually(progresses)
    peers.catalogue.hold.set()
    image = unpack((await door.ended(operation)).response, image_pb2.Image)
    assert image.name == metadata(operation).target and image.display_name == "debian"
    assert (await door(image_pb2.GetImageRequest(name=image.name))).name == image.name
    assert [each.name for each in (await door(image_pb2.ListImagesRequest())).images] == [image.name]
    with pytest.raises(PermissionDenied):
        await door.as_("mia")(image_pb2.DeleteImageRequest(name=image.name))
    await door(image_pb2.DeleteImageRequest(name=image.name))
    with pytest.raises(NotFound):
        await door(image_pb2.DeleteImageRequest(name=image.name))


async def test_an_import_is_cancelled_by_leaving_it(door: Door, peers: Peers) -> None:
    peers.catalogue.hold = asyncio.Event()
    operation = await door(image_pb2.ImportImageRequest(image=image_pb2.Image(display_name="x"), source="/x"))

    async def began() -> bool:
        return bool(metadata(await door.operation(operation.name)).steps)

    await eventually(began)
    await door(operations_pb2.CancelOperationRequest(name=operation.name))
    assert state(await door.ended(operation)) == State.OPERATION_STATE_CANCELLED
    await eventually(lambda: peers.catalogue.interrupted == 1)


async def test_an_import_that_fails_says_why(door: Door, peers: Peers) -> None:
    peers.catalogue.fail = FailedPrecondition("it has a backing file", reason="IMAGE_UNACCEPTABLE")
    operation = await door(image_pb2.ImportImageRequest(image=image_pb2.Image(display_name="x"), source="/x"))
    assert reason(await door.ended(operation)) == "IMAGE_UNACCEPTABLE"


async def test_fifty_at_once(door: Door, peers: Peers) -> None:
    names = await asyncio.gather(*(door.created() for _ in range(50)))
    await asyncio.gather(*(door.done(pb.StopInstanceRequest(name=name)) for name in names))
    await asyncio.gather(*(door.done(pb.StartInstanceRequest(name=name)) for name in names))
    assert {guest.boots for guest in peers.host.guests.values()} == {2}


async def test_of_many_callers_at_once_one_is_let_in(door: Door, peers: Peers) -> None:
    name = await door.stopped()
    peers.host.hold["launch"] = asyncio.Event()  # or it may have ended before the last one is heard
    answers = await asyncio.gather(
        *(door(pb.StartInstanceRequest(name=name)) for _ in range(20)), return_exceptions=True
    )
    peers.host.hold["launch"].set()
    accepted = [each for each in answers if not isinstance(each, BaseException)]
    assert len(accepted) == 1
    assert {getattr(each, "reason", "") for each in answers if isinstance(each, BaseException)} == {
        "OPERATION_IN_PROGRESS"
    }
    await door.ended(accepted[0])
    assert peers.host.guests[uid(name)].boots == 2


async def test_one_request_sent_twenty_times_is_one_operation(door: Door, peers: Peers) -> None:
    name = await door.stopped()
    request = pb.StartInstanceRequest(name=name, request_id=str(uuid.uuid4()))
    answers = await asyncio.gather(*(door(request) for _ in range(20)))
    assert len({each.name for each in answers}) == 1
    await door.ended(answers[0])
    assert peers.host.guests[uid(name)].boots == 2


async def test_a_client_that_leaves_does_not_undo_what_was_accepted(door: Door, peers: Peers) -> None:
    name = await door.stopped()
    call = door._method(pb.StartInstanceRequest())(pb.StartInstanceRequest(name=name))
    await asyncio.sleep(0.005)
    call.cancel()
    await asyncio.sleep(0.3)
    instance = await becomes(door, name, task_state=NONE)
    assert (instance.vm_state == ACTIVE) == (peers.host.guests[uid(name)].boots == 2)


async def test_the_trace_id_comes_back_with_a_refusal(door: Door) -> None:
    with pytest.raises(NotFound), channel.errors():
        await door(pb.GetInstanceRequest(name=f"instances/{uuid.uuid4()}"))
