"""Who may begin what, and which refusal comes first."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from api_svc.domain import admission, lifecycle
from api_svc.domain.admission import Verdict
from api_svc.domain.commands import Envelope
from api_svc.domain.instance import Placed
from api_svc.domain.states import OnConflict, RebootMode, TaskState, Verb, VmState
from svckit.errors import ProtostarError
from tests.unit.api_svc.given import ADMIN, MEMBER, READER, STRANGER, command, host, instance, placed

HARD = RebootMode.HARD
BUSY = {"task_state": TaskState.POWERING_ON, "current_operation": "op"}

# Nova's table (nova-behaviour §1.3 and §10) for our verbs: where each may begin.
ALLOWED: dict[tuple[Verb, RebootMode], set[VmState]] = {
    (Verb.START, RebootMode.SOFT): {VmState.STOPPED},
    (Verb.STOP, RebootMode.SOFT): {VmState.ACTIVE, VmState.ERROR},
    (Verb.REBOOT, RebootMode.SOFT): {VmState.ACTIVE},
    (Verb.REBOOT, HARD): {VmState.ACTIVE, VmState.STOPPED, VmState.PAUSED, VmState.SUSPENDED, VmState.ERROR},
    (Verb.DELETE, RebootMode.SOFT): set(VmState) - {VmState.DELETED},
}
# Which tasks in flight each may take over from: better than Nova, which waits for ever.
SUPERSEDES: dict[tuple[Verb, RebootMode], set[TaskState]] = {
    (Verb.STOP, RebootMode.SOFT): {TaskState.POWERING_ON},
    (Verb.REBOOT, HARD): {TaskState.POWERING_ON, TaskState.REBOOTING, TaskState.REBOOTING_HARD},
    (Verb.DELETE, RebootMode.SOFT): set(TaskState) - {TaskState.NONE},
}


def refusal(caller: Any, found: Placed | None, **fields: Any) -> str:
    try:
        admission.admit(caller, found, command(Verb.START, **fields))
    except ProtostarError as error:
        return error.reason
    return ""


@pytest.mark.parametrize("vm_state", VmState)
@pytest.mark.parametrize("verb", ALLOWED, ids=lambda verb: "-".join(verb))
def test_vm_state_allows_what_nova_allows(verb: tuple[Verb, RebootMode], vm_state: VmState) -> None:
    given = instance(vm_state=vm_state)
    task = lifecycle.task_of(*verb)
    if vm_state in ALLOWED[verb]:
        lifecycle.check(given, task)
        return
    with pytest.raises(ProtostarError) as caught:
        lifecycle.check(given, task)
    assert caught.value.reason == "INSTANCE_INVALID_STATE"
    assert caught.value.metadata["value"] == vm_state
    assert set(caught.value.metadata["allowed"].split(",")) == ALLOWED[verb]


@pytest.mark.parametrize("task_state", [task for task in TaskState if task is not TaskState.NONE])
@pytest.mark.parametrize("verb", ALLOWED, ids=lambda verb: "-".join(verb))
def test_a_task_in_flight_is_superseded_or_waited_for(verb: tuple[Verb, RebootMode], task_state: TaskState) -> None:
    allowed = min(ALLOWED[verb])
    given = instance(vm_state=allowed, task_state=task_state, current_operation="op")
    task = lifecycle.task_of(*verb)
    if task_state in SUPERSEDES.get(verb, set()):
        assert lifecycle.begin(given, task, "new", given.update_time).current_operation == "new"
        return
    with pytest.raises(ProtostarError) as caught:
        lifecycle.check(given, task)
    assert caught.value.reason == "OPERATION_IN_PROGRESS"
    assert caught.value.metadata["operation"] == "operations/op"


def test_the_first_check_that_fails_is_the_one_that_is_told() -> None:
    """Every later check fails as well; they are mended one after the other."""
    wrong = instance(vm_state=VmState.ACTIVE, locked_by="owner", host="", launch_time=None, version=1, **BUSY)
    stale = Envelope(etag='"stale"')
    assert refusal(STRANGER, Placed(instance=wrong, host=None), envelope=stale) == "INSTANCE_NOT_FOUND"
    assert refusal(READER, Placed(instance=wrong, host=None), envelope=stale) == "PERMISSION_DENIED"
    assert refusal(MEMBER, Placed(instance=wrong, host=None), envelope=stale) == "INSTANCE_LOCKED"
    assert refusal(ADMIN, Placed(instance=wrong, host=None), envelope=stale) == "INSTANCE_NOT_READY"
    wrong = replace(wrong, host="there")
    assert refusal(ADMIN, Placed(instance=wrong, host=None), envelope=stale) == "HOST_UNKNOWN"
    assert refusal(ADMIN, Placed(instance=wrong, host=host()), envelope=stale) == "INSTANCE_INVALID_STATE"
    wrong = replace(wrong, vm_state=VmState.STOPPED)
    assert refusal(ADMIN, Placed(instance=wrong, host=host()), envelope=stale) == "OPERATION_IN_PROGRESS"
    wrong = replace(wrong, task_state=TaskState.NONE, current_operation="")
    assert refusal(ADMIN, Placed(instance=wrong, host=host()), envelope=stale) == "INSTANCE_INVALID_STATE"
    wrong = replace(wrong, launch_time=wrong.create_time)
    assert refusal(ADMIN, Placed(instance=wrong, host=host()), envelope=stale) == "CONCURRENT_UPDATE"
    assert refusal(ADMIN, Placed(instance=wrong, host=host())) == ""
    assert refusal(ADMIN, None) == refusal(ADMIN, placed(vm_state=VmState.DELETED)) == "INSTANCE_NOT_FOUND"


JOINS = [
    (Verb.START, VmState.ACTIVE, TaskState.NONE, Verdict.ALREADY_THERE),
    (Verb.START, VmState.STOPPED, TaskState.POWERING_ON, Verdict.JOIN),
    (Verb.START, VmState.STOPPED, TaskState.NONE, Verdict.BEGIN),
    (Verb.STOP, VmState.STOPPED, TaskState.NONE, Verdict.ALREADY_THERE),
    (Verb.STOP, VmState.ACTIVE, TaskState.POWERING_OFF, Verdict.JOIN),
    (Verb.STOP, VmState.STOPPED, TaskState.POWERING_ON, Verdict.BEGIN),
    (Verb.STOP, VmState.ACTIVE, TaskState.NONE, Verdict.BEGIN),
]


@pytest.mark.parametrize(("verb", "vm_state", "task_state", "verdict"), JOINS)
def test_joining(verb: Verb, vm_state: VmState, task_state: TaskState, verdict: Verdict) -> None:
    found = placed(vm_state=vm_state, task_state=task_state, current_operation="op")
    wanted = command(verb, on_conflict=OnConflict.JOIN)
    assert admission.admit(MEMBER, found, wanted).verdict is verdict


def test_joining_what_is_not_on_its_way_there_is_refused_like_everything_else() -> None:
    found = placed(vm_state=VmState.ACTIVE, task_state=TaskState.POWERING_OFF, current_operation="op")
    assert refusal(MEMBER, found, on_conflict=OnConflict.JOIN) == "INSTANCE_INVALID_STATE"


def test_deleting_needs_no_host() -> None:
    found = Placed(instance=instance(host=""), host=None)
    assert admission.admit(MEMBER, found, command(Verb.DELETE)).verdict is Verdict.BEGIN
