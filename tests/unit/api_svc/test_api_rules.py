"""Small rules of api_svc, by tables."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api_svc.domain import event, fields, judgement, placement, plan, policy
from api_svc.domain.failure import Failure
from api_svc.domain.host import Usage
from api_svc.domain.instance import Flavor
from api_svc.domain.judgement import End
from api_svc.domain.operation import Step, failing_step, with_step
from api_svc.domain.placement import Capacity
from api_svc.domain.policy import LOCAL_ADMIN, PERMISSIONS, Role
from api_svc.domain.states import HostState, StepState, TaskState, Verb, WaitingFor
from api_svc.rpc.identity import from_headers
from svckit import errors
from svckit.errors import InvalidArgument, PermissionDenied, ResourceExhausted, Unauthenticated
from tests.unit.api_svc.given import ADMIN, MEMBER, NOW, READER, host, instance, operation

FLAVOR = Flavor(vcpus=2, memory_mib=200)


def test_readers_read_members_change_and_admins_do_the_rest() -> None:
    for permission, roles in PERMISSIONS.items():
        assert Role.ADMIN in roles, permission
        reads = permission.partition(".")[2] in ("get", "list", "watch", "wait", "console")
        hosts = permission.startswith("host.")
        assert (Role.READER in roles) == (reads and not hosts), permission
        rest = permission in ("image.import", "image.delete", "instance.unlock_override") or hosts
        assert (Role.MEMBER in roles) == (not rest), permission
    with pytest.raises(PermissionDenied) as caught:
        policy.require(READER, "instance.start")
    assert caught.value.metadata["permission"] == "instance.start"
    policy.require(MEMBER, "instance.start")


IDENTITIES: list[tuple[dict[str, str], Any]] = [
    ({}, LOCAL_ADMIN),
    ({"x-protostar-user": "eve"}, ("eve", "default", {"member"})),
    ({"x-protostar-user": "eve", "x-protostar-project": "red"}, ("eve", "red", {"member"})),
    ({"x-protostar-user": "eve", "x-protostar-roles": "reader, member"}, ("eve", "default", {"reader", "member"})),
    ({"x-protostar-user": "e.v@x", "x-protostar-roles": "admin"}, ("e.v@x", "default", {"admin"})),
    ({"user-agent": "grpcurl"}, LOCAL_ADMIN),
]


@pytest.mark.parametrize(("headers", "caller"), IDENTITIES)
def test_a_caller_is_who_he_says(headers: dict[str, str], caller: Any) -> None:
    found = from_headers(headers)
    assert found == caller or (found.user, found.project, set(found.roles)) == caller


@given(st.dictionaries(st.sampled_from(["x-protostar-user", "x-protostar-project", "x-protostar-roles"]), st.text()))
def test_whatever_headers_say_it_is_a_caller_or_a_refusal(headers: dict[str, str]) -> None:
    try:
        caller = from_headers(headers)
    except Unauthenticated:
        return
    assert caller.user and caller.project and caller.roles


def test_a_host_is_chosen_that_answers_and_has_most_room() -> None:
    tight = host(name="a", usage=Usage(memory_mib=1400))
    free = host(name="b", usage=Usage(memory_mib=100))
    silent = host(name="c", last_seen=NOW - timedelta(minutes=1), memory_mib=9000)
    marked = host(name="d", state=HostState.SILENT, memory_mib=9000)
    assert placement.choose([tight, free, silent, marked], FLAVOR, Capacity(), NOW) is free
    same = [host(name="z"), host(name="y")]
    assert placement.choose(same, FLAVOR, Capacity(), NOW).name == "y"


@pytest.mark.parametrize(
    "fields",
    [
        {"vcpus": 1, "usage": Usage(vcpus=15)},
        {"usage": Usage(memory_mib=1301)},
        {"memory_mib": 100},
        {"state": HostState.SILENT},
    ],
)
def test_a_host_without_room_is_not_chosen(fields: dict[str, Any]) -> None:
    with pytest.raises(ResourceExhausted) as caught:
        placement.choose([host(**fields)], FLAVOR, Capacity(), NOW)
    assert caught.value.reason == "NO_CAPACITY"


STEPS = (
    Step(name="claim", state=StepState.DONE, attempt=1),
    Step(name="backing", state=StepState.RUNNING, attempt=1),
)
ENDS = [
    (errors.Unavailable("away"), End.AGAIN, WaitingFor.HOST),
    (errors.Unavailable("away", metadata={"step": "network_info"}), End.AGAIN, WaitingFor.NETBLOCK_SERVICE),
    (errors.Unavailable("away", metadata={"step": "backing"}), End.AGAIN, WaitingFor.IMAGE_SERVICE),
    (errors.Unavailable("away", metadata={"step": "launch"}), End.AGAIN, WaitingFor.RETRY),
    (errors.Aborted("older", reason="STALE_GENERATION"), End.SUPERSEDED, WaitingFor.NOTHING),
    (errors.Aborted("newer", reason="SUPERSEDED"), End.SUPERSEDED, WaitingFor.NOTHING),
    (errors.Aborted("something else"), End.FAILED, WaitingFor.NOTHING),
    (errors.Cancelled("cancelled"), End.CANCELLED, WaitingFor.NOTHING),
    (errors.Internal("died"), End.FAILED, WaitingFor.NOTHING),
    (errors.DeadlineExceeded("late"), End.FAILED, WaitingFor.NOTHING),
]


@pytest.mark.parametrize(("error", "end", "waiting_for"), ENDS)
def test_what_an_error_comes_to(error: errors.ProtostarError, end: End, waiting_for: WaitingFor) -> None:
    verdict = judgement.judge(operation(instance(), steps=STEPS), error, NOW)
    assert (verdict.end, verdict.waiting_for) == (end, waiting_for)
    if end in (End.FAILED, End.CANCELLED):
        assert verdict.failure is not None and verdict.failure.step == "backing"


def test_past_the_deadline_nothing_is_tried_again() -> None:
    late = operation(instance(), deadline=NOW)
    verdict = judgement.judge(late, errors.Unavailable("no route"), NOW)
    assert (verdict.end, verdict.known) == (End.FAILED, False)
    assert verdict.failure is not None
    assert (verdict.failure.reason, verdict.failure.metadata["waiting_for"]) == ("DEADLINE_EXCEEDED", "HOST")
    assert "no route" in verdict.failure.message


@given(st.integers(1, 1000), st.floats(0, 1))
def test_backing_off_grows_to_five_seconds_and_never_passes_the_deadline(attempt: int, jitter: float) -> None:
    tried = operation(instance(), attempt=attempt)
    wait = (judgement.next_attempt(tried, NOW, jitter) - NOW).total_seconds()
    assert 0.1 <= wait <= 5.0
    soon = replace(tried, deadline=NOW + timedelta(milliseconds=50))
    assert judgement.next_attempt(soon, NOW, jitter) == soon.deadline


WAITS = [
    ("backing", "waiting for image_svc", WaitingFor.IMAGE_SERVICE),
    ("network_info", "waiting for netblock_svc", WaitingFor.NETBLOCK_SERVICE),
    ("launch", "waiting for libvirt", WaitingFor.RETRY),
    ("backing", "disk", WaitingFor.NOTHING),
]


@pytest.mark.parametrize(("name", "detail", "waiting_for"), WAITS)
def test_a_step_tells_what_it_waits_for(name: str, detail: str, waiting_for: WaitingFor) -> None:
    step = Step(name=name, state=StepState.RUNNING, detail=detail)
    assert judgement.waiting_on(step) is waiting_for


def test_news_of_a_step_replace_what_was_told_of_it_in_the_same_attempt() -> None:
    ended = Step(name="backing", state=StepState.DONE, attempt=1)
    again = Step(name="claim", state=StepState.RUNNING, attempt=2)
    assert with_step(STEPS, ended) == (STEPS[0], ended)
    assert with_step(STEPS, again) == (*STEPS, again)
    assert failing_step(STEPS) == "backing"
    assert failing_step((replace(STEPS[0], state=StepState.FAILED), STEPS[1])) == "claim"
    assert failing_step(()) == ""


@given(st.integers(0, 1 << 62))
def test_a_cursor_comes_back_as_it_went(seq: int) -> None:
    assert event.decode_cursor(event.encode_cursor(seq)) == seq


@given(st.text())
def test_what_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument):
        event.decode_cursor(text)


DEADLINES = [
    (None, None, timedelta(minutes=10)),
    (None, 3600.0, timedelta(minutes=62)),
    (NOW + timedelta(seconds=1), None, timedelta(seconds=1)),
    (NOW + timedelta(hours=24), 3600.0, timedelta(hours=24)),
]


@pytest.mark.parametrize(("wanted", "grace", "left"), DEADLINES)
def test_a_deadline(wanted: Any, grace: float | None, left: timedelta) -> None:
    assert fields.deadline_of(wanted, NOW, grace) - NOW == left


@pytest.mark.parametrize("wrong", ["", "x" * 63, "y" * 64])
def test_a_checksum_has_64_hex_digits(wrong: str) -> None:
    fields.check_sha256("Ab" * 32)
    if wrong:
        with pytest.raises(InvalidArgument):
            fields.check_sha256(wrong)


@pytest.mark.parametrize("task", [task for task in TaskState if task is not TaskState.NONE])
def test_every_task_has_a_plan_that_begins_with_a_claim(task: TaskState) -> None:
    steps = plan.steps_of(task)
    assert {step.state for step in steps} == {StepState.PLANNED}
    assert "claim" in [step.name for step in steps[:2]]


@given(
    st.sampled_from(errors.ALL),
    st.text(),
    st.dictionaries(st.text(), st.text()),
    st.one_of(st.none(), st.floats(0, 1e6)),
)
def test_a_failure_is_the_error_it_came_from(
    kind: type[errors.ProtostarError], message: str, metadata: dict[str, str], retry_after: float | None
) -> None:
    error = kind(message, reason="WHY", metadata=metadata, retry_after=retry_after)
    again = Failure.of(error).as_error()
    assert type(again) is kind and Failure.of(again) == Failure.of(error)


def test_verbs_of_events_are_told_in_the_words_of_the_contract() -> None:
    names = {
        verb: event.of_operation(operation(instance(), verb=verb), instance(), "start", NOW).type
        for verb in (Verb.CREATE, Verb.DELETE, Verb.START, Verb.STOP, Verb.REBOOT)
    }
    assert sorted(names.values()) == [
        "instance.create.start",
        "instance.delete.start",
        "instance.power_off.start",
        "instance.power_on.start",
        "instance.reboot.start",
    ]


def test_admins_see_everything_and_others_their_project() -> None:
    assert ADMIN.scope is None and MEMBER.scope == "p"
