"""How instances come to rest, and a model of all that may happen to one at once."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from api_svc.domain import lifecycle, observation
from api_svc.domain.failure import Failure
from api_svc.domain.lifecycle import RULES, Outcome
from api_svc.domain.observation import Observation
from api_svc.domain.operation import Operation
from api_svc.domain.states import PowerState, TaskState, VmState
from svckit.errors import Aborted, Internal, ProtostarError
from tests.unit.api_svc.given import NOW, instance, operation

TASKS = [task for task in TaskState if task is not TaskState.NONE]
FAILURE = Failure.of(Internal("no", reason="DOMAIN_DIED", metadata={"step": "launch"}))


def power(state: PowerState, generation: int = 9, seconds: float = 0.0) -> Observation:
    return Observation(uid="x", power_state=state, observed_at=NOW + timedelta(seconds=seconds), generation=generation)


@pytest.mark.parametrize("task", TASKS)
def test_a_task_that_ends_well_rests_where_the_table_says(task: TaskState) -> None:
    begun = replace(instance(fault=None), task_state=task, current_operation="op", generation=4)
    outcome = Outcome(power=power(PowerState.RUNNING))
    rested = lifecycle.finish(begun, operation(begun), outcome, NOW)
    assert (rested.vm_state, rested.task_state, rested.current_operation) == (RULES[task].ends, TaskState.NONE, "")
    assert rested.applied_generation == 4 and rested.version == begun.version + 1 and rested.fault is None


FAILURES = [
    (TaskState.SPAWNING, VmState.BUILDING, PowerState.SHUTDOWN, VmState.ERROR),
    (TaskState.POWERING_ON, VmState.STOPPED, PowerState.SHUTDOWN, VmState.STOPPED),
    (TaskState.POWERING_OFF, VmState.ACTIVE, PowerState.RUNNING, VmState.ACTIVE),
    (TaskState.POWERING_OFF, VmState.ERROR, PowerState.RUNNING, VmState.ERROR),
    (TaskState.REBOOTING, VmState.ACTIVE, PowerState.RUNNING, VmState.ACTIVE),
    (TaskState.REBOOTING, VmState.ACTIVE, PowerState.SHUTDOWN, VmState.ERROR),
    (TaskState.REBOOTING_HARD, VmState.STOPPED, PowerState.SHUTDOWN, VmState.ERROR),
    (TaskState.REBOOTING_HARD, VmState.ERROR, PowerState.RUNNING, VmState.ACTIVE),
    (TaskState.DELETING, VmState.STOPPED, PowerState.SHUTDOWN, VmState.STOPPED),
    (TaskState.DELETING, VmState.ACTIVE, PowerState.RUNNING, VmState.ACTIVE),
]


@pytest.mark.parametrize(("task", "before", "seen", "after"), FAILURES)
def test_a_task_that_fails_rests_with_a_fault(
    task: TaskState, before: VmState, seen: PowerState, after: VmState
) -> None:
    begun = instance(vm_state=before, task_state=task, current_operation="op", generation=4)
    failed = operation(begun)
    rested = lifecycle.fail(begun, failed, FAILURE, known=True, power=power(seen), at=NOW)
    assert (rested.vm_state, rested.power_state, rested.task_state) == (after, seen, TaskState.NONE)
    assert rested.fault is not None
    assert (rested.fault.reason, rested.fault.step) == ("DOMAIN_DIED", "launch")
    assert rested.fault.operation == failed.name


@pytest.mark.parametrize("task", TASKS)
def test_unknown_is_told_as_unknown_and_never_as_off(task: TaskState) -> None:
    begun = instance(vm_state=VmState.ACTIVE, task_state=task, current_operation="op", generation=4)
    rested = lifecycle.fail(begun, operation(begun), FAILURE, known=False, power=None, at=NOW)
    assert rested.power_state is PowerState.UNKNOWN
    assert rested.vm_state is (VmState.ERROR if task is TaskState.SPAWNING else VmState.ACTIVE)
    assert rested.applied_generation == 3, "what the host says of the generation before still counts"


def test_only_the_holder_may_end_it() -> None:
    begun = instance(task_state=TaskState.POWERING_ON, current_operation="op", generation=4)
    for other in (operation(begun, uid="older"), operation(begun, generation=3)):
        with pytest.raises(Aborted) as caught:
            lifecycle.finish(begun, other, Outcome(), NOW)
        assert caught.value.reason == "SUPERSEDED"
        with pytest.raises(Aborted):
            lifecycle.fail(begun, other, FAILURE, known=True, power=None, at=NOW)


class World(RuleBasedStateMachine):
    """One instance, callers who command it, a host that works and tells, and answers that come late or never.

    The model is what the words promise: one holder at a time, generations that only grow, an end that only the holder
    can write, and a resting state that follows from the last thing that was truly done.
    """

    @initialize()
    def make(self) -> None:
        self.instance = instance()
        self.operations: list[Operation] = []
        self.ended: set[str] = set()
        self.clock = 0.0
        self.highest = self.instance.generation

    @rule(task=st.sampled_from(TASKS[1:]))
    def a_caller_commands(self, task: TaskState) -> None:
        self._command(task, system=False)

    @rule(task=st.sampled_from([TaskState.POWERING_ON, TaskState.POWERING_OFF]))
    def the_system_commands(self, task: TaskState) -> None:
        self._command(task, system=True)

    def _command(self, task: TaskState, *, system: bool) -> None:
        before = self.instance
        begin = lifecycle.resume if system else lifecycle.begin
        try:
            self.instance = begin(before, task, f"op{len(self.operations)}", NOW)
        except ProtostarError as error:
            assert self.instance is before, "a refusal changes nothing"
            busy = not before.at_rest and (system or before.task_state not in RULES[task].supersedes)
            forbidden = before.vm_state is VmState.DELETED if system else before.vm_state not in RULES[task].allowed
            assert busy or forbidden, error
            return
        if before.current_operation:
            assert before.task_state in RULES[task].supersedes and not system
            self.ended.add(before.current_operation)
        self.operations.append(operation(self.instance))
        assert self.instance.generation == before.generation + 1

    @rule(data=st.data(), well=st.booleans(), known=st.booleans())
    def an_answer_comes(self, data: st.DataObject, well: bool, known: bool) -> None:
        """Of any operation there ever was: answers may be late, and come twice."""
        if not self.operations:
            return
        answered = data.draw(st.sampled_from(self.operations))
        before, holds = self.instance, self.instance.current_operation == answered.uid
        try:
            if well:
                self.instance = lifecycle.finish(before, answered, Outcome(power=self._seen(answered)), NOW)
            else:
                self.instance = lifecycle.fail(before, answered, FAILURE, known=known, power=None, at=NOW)
        except Aborted:
            assert not holds and self.instance is before
            return
        assert holds and answered.uid not in self.ended
        self.ended.add(answered.uid)
        if well:
            assert self.instance.vm_state is RULES[answered.task].ends and self.instance.fault is None
        else:
            assert self.instance.fault is not None

    @rule(state=st.sampled_from(list(PowerState)), behind=st.integers(0, 3), late=st.booleans())
    def the_host_tells(self, state: PowerState, behind: int, late: bool) -> None:
        self.clock += 1
        moment = NOW + timedelta(seconds=-100 if late else self.clock)
        generation = max(0, self.instance.generation - behind)
        seen = Observation(uid="x", power_state=state, observed_at=moment, generation=generation)
        before = self.instance
        reaction = observation.observe(before, seen, NOW)
        if reaction is None:
            return
        assert generation >= before.applied_generation
        if not before.at_rest:
            assert reaction.follow_up is TaskState.NONE and reaction.instance.vm_state is before.vm_state
        self.instance = reaction.instance

    def _seen(self, answered: Operation) -> Observation:
        off = RULES[answered.task].ends in (VmState.STOPPED, VmState.DELETED)
        self.clock += 1
        moment = NOW + timedelta(seconds=self.clock)
        state = PowerState.SHUTDOWN if off else PowerState.RUNNING
        return Observation(uid="x", power_state=state, observed_at=moment, generation=answered.generation)

    @invariant()
    def the_words_hold(self) -> None:
        held = self.instance.current_operation
        assert bool(held) == (not self.instance.at_rest)
        assert held not in self.ended
        assert self.instance.applied_generation <= self.instance.generation
        assert self.instance.generation >= self.highest
        self.highest = self.instance.generation
        open_operations = {each.uid for each in self.operations} - self.ended
        assert open_operations == ({held} if held else set())


TestWorld = World.TestCase
