"""The store: compare-and-swap, leases, request ids, commit order. On both databases."""

from __future__ import annotations

import asyncio
import itertools
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from api_svc.adapters.store import SqlStore
from api_svc.domain import query
from api_svc.domain.event import Event
from api_svc.domain.failure import Failure
from api_svc.domain.host import Facts, Usage
from api_svc.domain.image import Image, Import
from api_svc.domain.instance import Fault, Instance, Policy, Port, Volume
from api_svc.domain.operation import Lease, Operation, Parameters, Progress, Request, Result, Step
from api_svc.domain.states import (
    HostState,
    OperationState,
    PowerState,
    RebootMode,
    StepState,
    StopMode,
    StopOutcome,
    TaskState,
    UnexpectedStopPolicy,
    VmState,
    WaitingFor,
)
from svckit import errors
from svckit.clock import Window
from svckit.errors import AlreadyExists
from tests.unit.api_svc import given

NOW = datetime.now(UTC).replace(microsecond=123_456)
AGO = NOW - timedelta(seconds=30)
FRESH = Window(AGO, NOW)


def full_instance() -> Instance:
    """One in which every field says something."""
    return given.instance(
        task_state=TaskState.REBOOTING,
        power_state=PowerState.PAUSED,
        power_state_observed_at=NOW,
        ports=(
            Port(port="ports/x", network="networks/y", mac_address="52:54:00:00:00:01", ip_addresses=("10.0.0.1",)),
        ),
        volumes=(Volume(volume="volumes/x", device="vdb"),),
        user_data=b"\x00\xff",
        metadata={"kläv": 'a "quoted" value', "x": ""},
        policy=Policy(on_unexpected_stop=UnexpectedStopPolicy.RESTART),
        locked_by="owner",
        lock_reason="why",
        current_operation=str(uuid.uuid4()),
        fault=Fault(code=13, reason="X", message="m", step="s", operation="operations/o", time=NOW),
        display_name="näme",
    )


def full_operation(on: Instance) -> Operation:
    """One in which every field says something."""
    failure = Failure.of(
        errors.FailedPrecondition(
            "no",
            reason="WHY",
            metadata={"step": "s"},
            violations=[errors.FieldViolation("f", "d")],
            resource=errors.Resource("k", "n"),
            precondition=errors.Precondition("t", "s", "d"),
            retry_after=1.5,
        )
    )
    step = Step(name="s", state=StepState.FAILED, attempt=2, start_time=NOW, end_time=NOW, detail="d", error=failure)
    image = Image(uid="u", display_name="d", properties={"a": "b"}, create_time=NOW)
    return given.operation(
        on,
        state=OperationState.FAILED,
        steps=(step,),
        progress=Progress(done_bytes=1, total_bytes=2),
        parameters=Parameters(
            repair=True,
            stop_mode=StopMode.FORCE,
            grace_seconds=1.5,
            reboot_mode=RebootMode.HARD,
            import_=Import(image=image, source="/x", sha256="y"),
        ),
        waiting_for=WaitingFor.HOST,
        trace={"traceparent": "00-1-2-03"},
        start_time=NOW,
        end_time=NOW,
        no_op=True,
        cancel_requested=True,
        error=failure,
        result=Result(instance=on, fast_start=True, outcome=StopOutcome.KILLED, performed=RebootMode.HARD, image=image),
        request=Request(scope="p", id=str(uuid.uuid4()), digest="d"),
        lease=Lease(owner="r/1", until=NOW),
    )


async def put(store: SqlStore, *things: Instance | Operation) -> None:
    async with store.transaction() as session:
        for thing in things:
            await (session.instances if isinstance(thing, Instance) else session.operations).add(thing)  # type: ignore[arg-type]


async def test_everything_comes_back_as_it_went(store: SqlStore) -> None:
    instance = full_instance()
    operation = full_operation(instance)
    await put(store, instance, operation)
    async with store.transaction() as session:
        await session.events.add(Event(type="t", time=NOW, instance=instance, operation="o", error=operation.error))
    async with store.reading() as session:
        found = await session.instances.find(instance.uid)
        assert found is not None and found.instance == instance and found.host is None
        assert await session.operations.find(operation.uid) == operation
        assert await session.operations.find_request("p", operation.request.id) == operation  # type: ignore[union-attr]
        (told,) = await session.events.after(0, 10, None, "")
        assert (told.instance, told.error, told.time) == (instance, operation.error, NOW)
        assert await session.instances.find(str(uuid.uuid4())) is None


async def test_a_swap_needs_the_version_it_compared(store: SqlStore) -> None:
    instance = given.instance()
    await put(store, instance)
    changed = replace(full_instance(), uid=instance.uid, version=8)
    async with store.transaction() as session:
        assert await session.instances.save(changed, expected_version=7)
        assert not await session.instances.save(replace(changed, display_name="late"), expected_version=7)
    async with store.reading() as session:
        found = await session.instances.find(instance.uid)
    assert found is not None
    kept = {"spec", "user", "project", "create_time", "user_data"}
    for field in Instance.__slots__:
        assert getattr(found.instance, field) == getattr(instance if field in kept else changed, field), field


async def test_of_many_swaps_one_wins(store: SqlStore) -> None:
    instance = given.instance()
    await put(store, instance)

    async def swap(number: int) -> bool:
        async with store.transaction() as session:
            return await session.instances.save(replace(instance, version=8 + number), expected_version=7)

    assert sum(await asyncio.gather(*(swap(number) for number in range(12)))) == 1


async def test_an_instance_is_made_once(store: SqlStore) -> None:
    instance = given.instance()
    await put(store, instance)
    with pytest.raises(AlreadyExists) as caught:
        await put(store, instance)
    assert caught.value.reason == "INSTANCE_ALREADY_EXISTS"


async def test_a_request_makes_one_operation_in_its_scope(store: SqlStore) -> None:
    on = given.instance()
    request = Request(scope="p", id=str(uuid.uuid4()), digest="d")
    first = given.operation(on, request=request)
    await put(store, on, first)
    with pytest.raises(AlreadyExists) as caught:
        await put(store, given.operation(on, request=request))
    assert caught.value.reason == "REQUEST_ID_TAKEN"
    await put(store, given.operation(on, request=replace(request, scope="q")))
    await put(store, given.operation(on), given.operation(on))


async def test_many_requests_at_once_make_one_operation(store: SqlStore) -> None:
    on = given.instance()
    request = Request(scope="p", id=str(uuid.uuid4()), digest="d")
    made = await asyncio.gather(
        *(put(store, given.operation(on, request=request)) for _ in range(10)), return_exceptions=True
    )
    assert [type(each) for each in made if each is not None] == [AlreadyExists] * 9


async def test_what_is_due_is_claimed_once(store: SqlStore) -> None:
    on = given.instance()
    due = [given.operation(on, attempt=0, not_before=NOW - timedelta(seconds=age)) for age in range(9)]
    later = given.operation(on, not_before=NOW + timedelta(seconds=1))
    leased = given.operation(on, not_before=AGO, lease=Lease(owner="x/1", until=NOW + timedelta(seconds=1)))
    expired = given.operation(on, attempt=1, not_before=AGO, lease=Lease(owner="x/1", until=AGO))
    ended = given.operation(on, not_before=AGO, state=OperationState.SUCCEEDED, end_time=AGO)
    await put(store, *due, later, leased, expired, ended)

    async def claim(owner: str) -> list[Operation]:
        async with store.transaction() as session:
            return await session.operations.claim(owner, NOW, NOW + timedelta(seconds=6), 3)

    claimed = await asyncio.gather(*(claim(f"r{number}/1") for number in range(5)))
    assert max(len(each) for each in claimed) <= 3
    together = list(itertools.chain(*claimed, *[await claim("rest/1") for _ in range(4)]))
    assert sorted(each.uid for each in together) == sorted(each.uid for each in (*due, expired))
    assert {each.attempt for each in together} == {1, 2}
    for batch in claimed:
        assert [each.not_before for each in batch] == sorted(each.not_before for each in batch)
        assert len({each.lease for each in batch}) <= 1


async def test_a_clock_that_was_set_back_keeps_nothing_waiting(store: SqlStore) -> None:
    on = given.instance()
    hour = NOW + timedelta(hours=1)
    waits = given.operation(on, not_before=hour)
    leased = given.operation(on, not_before=AGO, lease=Lease(owner="x/1", until=hour))
    await put(store, waits, leased)
    async with store.transaction() as session:
        claimed = await session.operations.claim("r/1", NOW, NOW + timedelta(seconds=6), 10)
    assert {each.uid for each in claimed} == {waits.uid, leased.uid}


async def test_only_the_holder_of_the_lease_writes_and_an_end_is_final(store: SqlStore) -> None:
    operation = given.operation(given.instance(), lease=Lease(owner="r/1", until=NOW))
    await put(store, operation)
    ended = replace(operation, state=OperationState.SUCCEEDED, end_time=NOW, lease=None)
    async with store.transaction() as session:
        assert not await session.operations.save(ended, owner="r/2")
        assert await session.operations.save(replace(operation, waiting_for=WaitingFor.HOST), owner="r/1")
        assert await session.operations.save(ended, owner="r/1")
        assert not await session.operations.save(ended, owner="r/1")
        assert not await session.operations.save(replace(ended, state=OperationState.FAILED))
        assert not await session.operations.request_cancel(operation.uid)
    async with store.reading() as session:
        found = await session.operations.find(operation.uid)
    assert found is not None and found.state is OperationState.SUCCEEDED


async def test_whoever_works_does_not_write_cancel_away(store: SqlStore) -> None:
    operation = given.operation(given.instance(), lease=Lease(owner="r/1", until=AGO))
    other = given.operation(given.instance(), lease=Lease(owner="s/1", until=AGO))
    await put(store, operation, other)
    async with store.transaction() as session:
        assert await session.operations.request_cancel(operation.uid)
        assert await session.operations.save(operation, owner="r/1")
        until = NOW + timedelta(seconds=6)
        assert await session.operations.renew("r/1", [operation.uid, other.uid], until) == {operation.uid: True}
        found = await session.operations.find(operation.uid)
        assert found is not None and found.cancel_requested and found.lease == Lease(owner="r/1", until=until)


async def test_a_former_life_is_released_and_nobody_else(store: SqlStore) -> None:
    on = given.instance()
    until = NOW + timedelta(seconds=30)
    owners = ("a/1", "a/2", "ab/1", "a_/1", "%/1")
    held = {owner: given.operation(on, not_before=AGO, lease=Lease(owner=owner, until=until)) for owner in owners}
    await put(store, *held.values())
    async with store.transaction() as session:
        assert await session.operations.release("a") == 2
        claimed = await session.operations.claim("a/3", NOW, until, 10)
    assert {each.uid for each in claimed} == {held["a/1"].uid, held["a/2"].uid}


async def test_what_waits_for_a_host_is_hastened(store: SqlStore) -> None:
    on = given.instance()
    later = NOW + timedelta(seconds=5)
    waits = given.operation(on, not_before=later, waiting_for=WaitingFor.HOST)
    other = given.operation(replace(on, host="there"), not_before=later, waiting_for=WaitingFor.HOST)
    retry = given.operation(on, not_before=later, waiting_for=WaitingFor.RETRY)
    await put(store, waits, other, retry)
    async with store.transaction() as session:
        assert await session.operations.hasten("here", NOW) == 1
        claimed = await session.operations.claim("r/1", NOW, later, 10)
    assert [each.uid for each in claimed] == [waits.uid]


async def test_events_are_read_in_commit_order_without_a_gap(store: SqlStore) -> None:
    """Many writers, one reader who always goes on after the last one that he saw."""
    instances = [given.instance() for _ in range(4)]
    await put(store, *instances)
    seen: list[int] = []
    writers = 40

    async def write(number: int) -> None:
        async with store.transaction() as session:
            for part in ("a", "b"):
                chosen = instances[number % 4]
                await session.events.add(Event(type=f"{number}{part}", time=NOW, instance=chosen))
                await asyncio.sleep(0.001 * (number % 3))

    async def read() -> None:
        while len(seen) < writers * 2:
            async with store.reading() as session:
                seen.extend(each.seq for each in await session.events.after(seen[-1] if seen else 0, 7, None, ""))
            await asyncio.sleep(0)

    async with asyncio.timeout(60):
        await asyncio.gather(read(), *(write(number) for number in range(writers)))
    assert seen == sorted(set(seen))
    async with store.reading() as session:
        every = await session.events.after(0, 1000, None, "")
        assert [each.seq for each in every] == seen
        assert await session.events.bounds() == (seen[0], seen[-1])
        for first, second in zip(every[::2], every[1::2], strict=True):
            assert first.type[:-1] == second.type[:-1], "a transaction's events stand together"
        one = await session.events.after(seen[3], 1000, "p", instances[0].uid)
        assert {each.instance and each.instance.uid for each in one} == {instances[0].uid}
        assert not await session.events.after(0, 10, "other", "")


async def test_pruning_goes_from_the_oldest_and_leaves_the_newest(store: SqlStore) -> None:
    instance = given.instance()
    async with store.transaction() as session:
        for age in (3, 2, 1, 0):
            await session.events.add(Event(type="t", time=NOW - timedelta(days=age), instance=instance))
    async with store.transaction() as session:
        oldest, newest = await session.events.bounds()
        assert await session.events.prune(NOW - timedelta(hours=36), 1) == 1
        assert await session.events.prune(NOW - timedelta(hours=36), 10) == 1
        assert await session.events.prune(NOW - timedelta(hours=36), 10) == 0
        assert await session.events.prune(NOW + timedelta(days=1), 10) == 1
        assert await session.events.bounds() == (newest, newest)
        await session.events.add(Event(type="t", time=NOW, instance=instance))
        assert (await session.events.bounds())[1] > newest > oldest


async def test_ended_operations_are_forgotten_in_time(store: SqlStore) -> None:
    on = given.instance()
    old = given.operation(on, state=OperationState.FAILED, end_time=AGO)
    running = given.operation(on, create_time=AGO)
    await put(store, old, running)
    async with store.transaction() as session:
        assert not await session.operations.remove(running.uid)
        assert await session.operations.prune(NOW, 10) == 1
        assert not await session.operations.remove(old.uid)
        assert await session.operations.find(running.uid) is not None


async def test_hosts_come_and_go(store: SqlStore) -> None:
    facts = Facts(name="here", boot_id="1", vcpus=4, memory_mib=100)
    await put(store, given.instance(), given.instance(), given.instance(vm_state=VmState.DELETED))
    async with store.transaction() as session:
        assert await session.hosts.boot_id("here") is None
        await session.hosts.register(facts, "unix:/a", AGO)
        await session.hosts.register(replace(facts, boot_id="2"), "unix:/b", AGO)
        assert await session.hosts.boot_id("here") == "2"
        assert await session.hosts.silence("here", Window(NOW, NOW))
        assert not await session.hosts.silence("here", Window(NOW, NOW))
        await session.hosts.seen("here", NOW)
        assert not await session.hosts.silence("here", FRESH)
        host = await session.hosts.find("here")
    assert host is not None
    assert (host.address, host.state, host.last_seen) == ("unix:/b", HostState.UP, NOW)
    assert host.usage == Usage(instances=2, vcpus=2, memory_mib=128)


async def test_two_replicas_may_register_a_host_at_once(store: SqlStore) -> None:
    async def register(name: str) -> None:
        async with store.transaction() as session:
            await session.hosts.register(Facts(name=name), "unix:/a", NOW)

    await asyncio.gather(*(register("here") for _ in range(5)), *(register("there") for _ in range(5)))
    async with store.reading() as session:
        hosts, more = await session.hosts.page(query.hosts(1, ""))
        assert [host.name for host in hosts] == ["here"] and more
        assert len(await session.hosts.lock_all()) == 2


async def test_pages_are_in_order_complete_and_never_twice(store: SqlStore) -> None:
    same = [given.instance(create_time=NOW, display_name="a") for _ in range(5)]
    later = [given.instance(create_time=NOW + timedelta(seconds=age), project="q") for age in (1, 2, 3)]
    await put(store, *same, *later, given.instance(vm_state=VmState.DELETED))
    wanted = [*sorted(each.uid for each in same), *(each.uid for each in later)]
    assert await _listed(store, 3) == wanted
    assert await _listed(store, 1) == wanted
    assert await _listed(store, 2, scope="q") == wanted[5:]
    assert await _listed(store, 2, 'display_name = "a"') == wanted[:5]


async def _listed(store: SqlStore, size: int, filter_text: str = "", scope: str | None = None) -> list[str]:
    found: list[str] = []
    token = ""
    while True:
        page = query.instances(size, token, filter_text, scope)
        async with store.reading() as session:
            placed, more = await session.instances.page(page, FRESH)
        found += [each.instance.uid for each in placed]
        if not more:
            return found
        last = placed[-1].instance
        token = page.token((last.create_time.isoformat(), last.uid))


FILTERS = [
    ('vm_state = "ACTIVE"', {"web", "db"}),
    ('vm_state != "ACTIVE"', {"off", "lost"}),
    ('power_state = "RUNNING"', {"web", "db"}),
    ('power_state = "UNKNOWN"', {"lost"}),
    ('power_state != "RUNNING"', {"off", "lost"}),
    ('host = "hosts/here"', {"web", "db", "off"}),
    ('locked = "true"', {"db"}),
    ('locked != "true"', {"web", "off", "lost"}),
    ('metadata.role = "web"', {"web"}),
    ('metadata.role != "web"', {"db", "off", "lost"}),
    ('metadata.a.b = "%"', {"db"}),
    ('task_state = "NONE" AND project = "p"', {"web", "db", "off", "lost"}),
    ('display_name = "web" AND vm_state = "STOPPED"', set()),
]


@pytest.mark.parametrize(("filter_text", "names"), FILTERS)
async def test_filters(store: SqlStore, filter_text: str, names: set[str]) -> None:
    running: dict[str, Any] = {"vm_state": VmState.ACTIVE, "power_state": PowerState.RUNNING}
    made = [
        given.instance(display_name="web", metadata={"role": "web"}, **running),
        given.instance(display_name="db", metadata={"role": "db", "a.b": "%"}, locked_by="owner", **running),
        given.instance(display_name="off", power_state=PowerState.SHUTDOWN),
        given.instance(display_name="lost", power_state=PowerState.RUNNING, host="gone"),
    ]
    await put(store, *made)
    async with store.transaction() as session:
        await session.hosts.register(Facts(name="here"), "unix:/a", NOW)
        await session.hosts.register(Facts(name="gone"), "unix:/b", AGO - timedelta(minutes=5))
    by_uid = {each.uid: each.display_name for each in made}
    assert {by_uid[uid] for uid in await _listed(store, 50, filter_text)} == names


async def test_a_failed_transaction_leaves_nothing(store: SqlStore) -> None:
    instance = given.instance()
    with pytest.raises(AlreadyExists):
        async with store.transaction() as session:
            await session.instances.add(instance)
            await session.events.add(Event(type="t", time=NOW, instance=instance))
            await session.instances.add(instance)
    async with store.reading() as session:
        assert await session.instances.find(instance.uid) is None
        assert await session.events.bounds() == (0, 0)
