"""What follows when reality changed without a command."""

from __future__ import annotations

from datetime import timedelta

import pytest

from api_svc.domain.instance import Policy
from api_svc.domain.observation import Observation, as_seen, observe
from api_svc.domain.states import (
    HostBootPolicy,
    PowerState,
    TaskState,
    UnexpectedStartPolicy,
    UnexpectedStopPolicy,
    VmState,
)
from api_svc.usecases.sightings import Sightings
from tests.unit.api_svc.given import NOW, host, instance

OFF = (PowerState.SHUTDOWN, PowerState.CRASHED, PowerState.NO_STATE)
IGNORED = [
    (vm_state, power)
    for vm_state in VmState
    for power in PowerState
    if vm_state is not VmState.DELETED
    and not (vm_state is VmState.ACTIVE and power in OFF)
    and not (vm_state is VmState.STOPPED and power is PowerState.RUNNING)
]


def seen(power: PowerState, generation: int = 3, seconds: float = 0.0) -> Observation:
    return Observation(uid="x", power_state=power, observed_at=NOW + timedelta(seconds=seconds), generation=generation)


@pytest.mark.parametrize(("vm_state", "power"), IGNORED)
def test_most_of_it_is_only_told(vm_state: VmState, power: PowerState) -> None:
    """Nova's table (nova-behaviour §6.2), but that nobody is killed for being paused or started."""
    given = instance(vm_state=vm_state, power_state=PowerState.UNKNOWN)
    reaction = observe(given, seen(power), NOW)
    if power is PowerState.UNKNOWN:
        assert reaction is None
        return
    assert reaction is not None and reaction.follow_up is TaskState.NONE
    assert (reaction.instance.vm_state, reaction.instance.power_state) == (vm_state, power)


@pytest.mark.parametrize("power", OFF)
@pytest.mark.parametrize(
    ("policy", "vm_state", "follow_up"),
    [
        (UnexpectedStopPolicy.MARK, VmState.STOPPED, TaskState.NONE),
        (UnexpectedStopPolicy.RESTART, VmState.ACTIVE, TaskState.POWERING_ON),
        (UnexpectedStopPolicy.IGNORE, VmState.ACTIVE, TaskState.NONE),
    ],
)
def test_a_guest_that_is_off(
    power: PowerState, policy: UnexpectedStopPolicy, vm_state: VmState, follow_up: TaskState
) -> None:
    given = instance(vm_state=VmState.ACTIVE, policy=Policy(on_unexpected_stop=policy), power_state=PowerState.RUNNING)
    reaction = observe(given, seen(power), NOW)
    assert reaction is not None
    assert (reaction.instance.vm_state, reaction.instance.power_state) == (vm_state, power)
    assert reaction.follow_up is follow_up


@pytest.mark.parametrize(
    ("policy", "vm_state", "follow_up"),
    [
        (UnexpectedStartPolicy.ADOPT, VmState.ACTIVE, TaskState.NONE),
        (UnexpectedStartPolicy.KILL, VmState.STOPPED, TaskState.POWERING_OFF),
        (UnexpectedStartPolicy.IGNORE, VmState.STOPPED, TaskState.NONE),
    ],
)
def test_a_guest_that_runs(policy: UnexpectedStartPolicy, vm_state: VmState, follow_up: TaskState) -> None:
    given = instance(policy=Policy(on_unexpected_start=policy), power_state=PowerState.SHUTDOWN)
    reaction = observe(given, seen(PowerState.RUNNING), NOW)
    assert reaction is not None
    assert (reaction.instance.vm_state, reaction.follow_up) == (vm_state, follow_up)


@pytest.mark.parametrize(
    ("policy", "vm_state", "follow_up"),
    [
        (HostBootPolicy.RESUME, VmState.ACTIVE, TaskState.POWERING_ON),
        (HostBootPolicy.STAY_OFF, VmState.STOPPED, TaskState.NONE),
    ],
)
def test_a_host_that_booted_is_no_unexpected_stop(
    policy: HostBootPolicy, vm_state: VmState, follow_up: TaskState
) -> None:
    ignoring = Policy(on_host_boot=policy, on_unexpected_stop=UnexpectedStopPolicy.IGNORE)
    reaction = observe(
        instance(vm_state=VmState.ACTIVE, policy=ignoring), seen(PowerState.SHUTDOWN), NOW, host_booted=True
    )
    assert reaction is not None
    assert (reaction.instance.vm_state, reaction.follow_up) == (vm_state, follow_up)


def test_what_is_said_twice_changes_nothing_but_a_policy_is_looked_at_again() -> None:
    settled = instance(power_state=PowerState.SHUTDOWN)
    assert observe(settled, seen(PowerState.SHUTDOWN), NOW) is None
    behind = instance(vm_state=VmState.ACTIVE, power_state=PowerState.SHUTDOWN)
    reaction = observe(behind, seen(PowerState.SHUTDOWN), NOW)
    assert reaction is not None and reaction.instance.vm_state is VmState.STOPPED


def test_what_is_old_counts_for_nothing() -> None:
    later = instance(vm_state=VmState.ACTIVE, power_state=PowerState.RUNNING, power_state_observed_at=NOW)
    assert observe(later, seen(PowerState.SHUTDOWN, seconds=-1), NOW) is None
    assert observe(later, seen(PowerState.SHUTDOWN, generation=2), NOW) is None
    assert observe(instance(vm_state=VmState.DELETED), seen(PowerState.RUNNING), NOW) is None


def test_a_clock_that_was_set_back_does_not_make_a_host_unheard() -> None:
    given = instance(vm_state=VmState.ACTIVE, power_state=PowerState.RUNNING, power_state_observed_at=NOW)
    reaction = observe(given, seen(PowerState.SHUTDOWN, seconds=-3600), NOW)
    assert reaction is not None and reaction.instance.vm_state is VmState.STOPPED


def test_a_silent_host_makes_power_unknown() -> None:
    given = instance(vm_state=VmState.ACTIVE, power_state=PowerState.RUNNING)
    patience = timedelta(seconds=30)
    assert as_seen(given, host(), NOW + patience, patience).power_state is PowerState.RUNNING
    assert as_seen(given, host(), NOW + patience * 1.01, patience).power_state is PowerState.UNKNOWN
    assert as_seen(given, None, NOW, patience).power_state is PowerState.UNKNOWN
    set_back = NOW - timedelta(hours=1)
    assert as_seen(given, host(), set_back, patience).power_state is PowerState.UNKNOWN, (
        "seen in the future is not lately"
    )


def test_sightings_keep_the_latest_and_drop_what_is_known() -> None:
    sightings = Sightings()
    assert sightings.note(seen(PowerState.SHUTDOWN, seconds=1), 0.0)
    assert not sightings.note(seen(PowerState.RUNNING, seconds=0), 0.0), "older"
    assert sightings.note(seen(PowerState.RUNNING, seconds=2), 0.0)
    assert [each.power_state for each, _ in sightings.waiting()] == [PowerState.RUNNING]
    sightings.settle(seen(PowerState.RUNNING, seconds=3))
    assert not sightings.waiting()
    assert not sightings.note(seen(PowerState.RUNNING, seconds=4), 0.0), "written"
    assert sightings.note(seen(PowerState.SHUTDOWN, seconds=5), 0.0)
    assert not sightings.note(seen(PowerState.RUNNING, seconds=6), 0.0), "back to what is written"
    sightings.note(seen(PowerState.SHUTDOWN, seconds=7), 0.0)
    sightings.settle(seen(PowerState.RUNNING, generation=4, seconds=6))
    assert sightings.latest("x") == seen(PowerState.SHUTDOWN, seconds=7), "later, and something else"
    sightings.settle(seen(PowerState.SHUTDOWN, seconds=6))
    assert sightings.latest("x") is None, "later, and the same"
    sightings.settle(seen(PowerState.RUNNING, seconds=6))
    assert sightings.latest("x") is None
    sightings.forget("x")
    assert sightings.note(seen(PowerState.RUNNING, seconds=7), 0.0)


def test_what_was_seen_after_the_clock_was_set_back_is_later() -> None:
    sightings = Sightings()
    gone = seen(PowerState.NO_STATE, seconds=-3600)
    sightings.note(gone, 0.0)
    sightings.settle(seen(PowerState.RUNNING, seconds=0))
    assert sightings.latest("x") == gone
