"""PostgreSQL under the services, and two api_svc on one database: who works on what, and who takes over from whom."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
from google.longrunning import operations_pb2
from protostar.api.v1 import operation_pb2 as op

from tests.chaos import points
from tests.chaos.arena import ALL
from tests.chaos.invariants import settle
from tests.chaos.patience import ask, ended, patiently, request, send, told
from tests.chaos.points import Verb
from tests.chaos.wave import Field, field_on, fresh
from tests.client import Client, metadata
from tests.postgres import Cluster
from tests.stack import ROOT, free_port

OTHER = "api_svc_2"
# Held there, the first replica has an operation in hand, and the client has its answer.
IN_HAND = ["compute.start.claim.inside", "compute.start.launch.inside", "compute.start.running.after"]
IN_HAND += [
    "api.dispatch.before_call",
    "api.dispatch.after_call",
    "api.finish.after_commit",
    "api.finish.before_commit",
]
# `make chaos FULL=1` runs the whole matrix on PostgreSQL: see conftest.py.
CASES = [("api", Verb.CREATE), ("all", Verb.START)]


@pytest.fixture(scope="module")
def first(postgres: Cluster, empty_image: Path) -> Iterator[Field]:
    """Everything on PostgreSQL; talks to the first replica."""
    with field_on(postgres, empty_image) as field:
        yield field


@pytest.fixture(scope="module")
def second(first: Field) -> Iterator[Field]:
    """The same, through the second replica."""
    arena = first.arena
    arena.addresses[OTHER] = f"127.0.0.1:{free_port()}"
    environment = {**arena.environment(), "PROTOSTAR_API_ADDRESS": arena.addresses[OTHER]}
    with arena.log(OTHER).open("ab") as log:
        arena.processes[OTHER] = subprocess.Popen(
            [sys.executable, "-m", "api_svc"], env=environment, cwd=ROOT, stdout=log, stderr=log
        )
    arena.wait_until_serving(OTHER)
    client = Client(arena.addresses[OTHER])
    yield replace(first, client=client)
    client.close()


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("who", "verb"), CASES)
def test_everything_ends_well_on_postgresql(first: Field, who: str, verb: Verb) -> None:
    first.wave(verb, points.passed(verb), ALL if who == "all" else ["api_svc"])


@pytest.mark.timeout(300)
def test_another_replica_takes_over_what_a_dead_one_had_in_hand(first: Field, second: Field) -> None:
    try:
        pinned = first.pin(Verb.CREATE, IN_HAND)
        first.arena.fell(["api_svc"])
    finally:
        first.arena.release()
    try:
        second.assert_ended_well(pinned)
    finally:
        first.arena.revive(["api_svc"])
    settle(first.scene)


@pytest.mark.timeout(180)
def test_a_replica_that_hangs_in_a_transaction_lets_the_other_go_on(first: Field, second: Field) -> None:
    try:
        pinned = first.pin(Verb.CREATE, ["api.finish.before_commit"])
        first.arena.freeze("api_svc")
        (uid,) = fresh(1)
        assert not ended(second.client, ask(second.client, Verb.CREATE, uid, second.image, 120)).HasField("error")
    finally:
        first.arena.release()
        first.arena.thaw("api_svc")
    first.assert_ended_well(pinned)
    settle(first.scene)


@pytest.mark.timeout(120)
def test_one_request_sent_to_both_at_once_is_one_operation(first: Field, second: Field) -> None:
    uids = first.resting(Verb.REBOOT, 12)
    wanted = [request(Verb.REBOOT, uid) for uid in uids]
    sent = [
        (first.hands.submit(send, first.client, each), first.hands.submit(send, second.client, each)) for each in wanted
    ]
    for one, other in sent:
        assert one.result(60).name == other.result(60).name
    for one, _ in sent:
        assert not ended(first.client, one.result()).HasField("error")
    settle(first.scene)


@pytest.mark.timeout(120)
def test_of_two_commands_at_once_one_is_refused(first: Field, second: Field) -> None:
    uids = first.resting(Verb.START, 12)
    first.arena.freeze("compute_svc")  # or one start may have ended before the other is heard
    try:
        both = [
            [first.hands.submit(send, replica.client, request(Verb.START, uid)) for replica in (first, second)]
            for uid in uids
        ]
        accepted = [[each.result() for each in pair if _was_accepted(each)] for pair in both]
    finally:
        first.arena.thaw("compute_svc")
    assert [len(each) for each in accepted] == [1] * len(uids), "exactly one of two starts of the same instance"
    for (operation,) in accepted:
        assert not ended(second.client, operation).HasField("error")
    settle(first.scene)


@pytest.mark.timeout(120)
def test_cancelled_through_the_other_replica(first: Field, second: Field) -> None:
    (uid,) = fresh(1)
    pinned = first.pin_one(Verb.CREATE, uid, "compute.start.define.inside")
    operation = pinned.accepted.result(30)
    cancel = operations_pb2.CancelOperationRequest(name=operation.name)
    patiently(lambda: second.client.operations.CancelOperation(cancel, timeout=10))
    done = ended(second.client, operation)
    first.arena.release()
    assert metadata(done).state == op.OPERATION_STATE_CANCELLED, told(done)
    settle(first.scene)


@pytest.mark.timeout(120)
def test_a_bind_that_a_delete_overtakes_binds_nothing(first: Field, second: Field) -> None:
    """The create is on its way to netblock_svc when its replica hangs; the other one deletes the instance meanwhile."""
    (uid,) = fresh(1)
    pinned = first.pin_one(Verb.CREATE, uid, "netblock.bind_instance.before")
    first.arena.freeze("api_svc")
    try:
        assert not ended(second.client, ask(second.client, Verb.DELETE, uid)).HasField("error")
        first.arena.release()
        settle(first.scene)
    finally:
        first.arena.release()
        first.arena.thaw("api_svc")
    done = ended(first.client, pinned.accepted.result(60))
    assert metadata(done).state == op.OPERATION_STATE_SUPERSEDED, told(done)
    settle(first.scene)


def _was_accepted(answer: Future[operations_pb2.Operation]) -> bool:
    refusal = answer.exception(60)
    if refusal is not None:
        assert isinstance(refusal, grpc.RpcError)
        assert refusal.code() is grpc.StatusCode.ABORTED, refusal
    return refusal is None
