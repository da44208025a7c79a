"""The state machine: a table, and the one door through which an instance changes its state.

    begin    a command claims the instance       task_state NONE → …, generation + 1
    finish   it went well                        the table's resting state
    fail     it did not                          back to rest, with a fault
    observe  reality changed without a command   see `domain.observation`

Rules of nova-behaviour §1.3, better in three places: stop and hard reboot may take over from a start that hangs, a hard
reboot from another reboot, and delete from anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from api_svc.domain.failure import Failure
from api_svc.domain.instance import Fault, Instance, Port, Volume
from api_svc.domain.observation import Observation
from api_svc.domain.operation import Operation
from api_svc.domain.states import PowerState, RebootMode, TaskState, Verb, VmState
from svckit.errors import Aborted, FailedPrecondition, Precondition


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """Of one task: where it may begin, which tasks it may take over from, where it ends."""

    verb: Verb
    allowed: frozenset[VmState]
    supersedes: frozenset[TaskState] = frozenset()
    needs_launch: bool = False
    ends: VmState


_BUSY = frozenset(TaskState) - {TaskState.NONE}

RULES: Mapping[TaskState, Rule] = {
    TaskState.SPAWNING: Rule(verb=Verb.CREATE, allowed=frozenset({VmState.BUILDING}), ends=VmState.ACTIVE),
    TaskState.POWERING_ON: Rule(
        verb=Verb.START, allowed=frozenset({VmState.STOPPED}), needs_launch=True, ends=VmState.ACTIVE
    ),
    TaskState.POWERING_OFF: Rule(
        verb=Verb.STOP,
        allowed=frozenset({VmState.ACTIVE, VmState.ERROR}),
        supersedes=frozenset({TaskState.POWERING_ON}),
        ends=VmState.STOPPED,
    ),
    TaskState.REBOOTING: Rule(verb=Verb.REBOOT, allowed=frozenset({VmState.ACTIVE}), ends=VmState.ACTIVE),
    TaskState.REBOOTING_HARD: Rule(
        verb=Verb.REBOOT,
        allowed=frozenset({VmState.ACTIVE, VmState.STOPPED, VmState.PAUSED, VmState.SUSPENDED, VmState.ERROR}),
        supersedes=frozenset({TaskState.POWERING_ON, TaskState.REBOOTING, TaskState.REBOOTING_HARD}),
        ends=VmState.ACTIVE,
    ),
    TaskState.DELETING: Rule(
        verb=Verb.DELETE, allowed=frozenset(VmState) - {VmState.DELETED}, supersedes=_BUSY, ends=VmState.DELETED
    ),
}
_BOOTS = frozenset({TaskState.SPAWNING, TaskState.POWERING_ON, TaskState.REBOOTING, TaskState.REBOOTING_HARD})


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What the host told at the end of its work."""

    power: Observation | None = None
    ports: tuple[Port, ...] = ()
    volumes: tuple[Volume, ...] = ()


def task_of(verb: Verb, reboot_mode: RebootMode = RebootMode.SOFT) -> TaskState:
    """The task of a verb; a reboot has two."""
    if verb is Verb.REBOOT and reboot_mode is RebootMode.HARD:
        return TaskState.REBOOTING_HARD
    return next(task for task, rule in RULES.items() if rule.verb is verb)


def check(instance: Instance, task: TaskState) -> None:
    """Whether `task` may begin now: vm_state, then task_state, then launched before (Nova's order).

    :raise FailedPrecondition: INSTANCE_INVALID_STATE, the state forbids it.
    :raise Aborted: OPERATION_IN_PROGRESS, another task is in flight that this one may not take over from.
    """
    rule = RULES[task]
    takes_over = instance.task_state in rule.supersedes
    if instance.vm_state not in rule.allowed and not takes_over:
        raise invalid_state(instance, rule.verb, "vm_state", instance.vm_state, sorted(rule.allowed))
    if not instance.at_rest and not takes_over:
        raise in_progress(instance)
    if rule.needs_launch and instance.launch_time is None:
        raise invalid_state(instance, rule.verb, "launch_time", "unset", ["set"])


def begin(instance: Instance, task: TaskState, operation: str, at: datetime) -> Instance:
    """The instance as `operation` holds it. :raise ProtostarError: as `check`."""
    check(instance, task)
    return _claim(instance, task, operation, at)


def resume(instance: Instance, task: TaskState, operation: str, at: datetime) -> Instance:
    """As Protostar itself begins a start or a stop because reality asks for it: from rest, whatever the vm_state says.

    A start begins from STOPPED: the guest was seen off, and if the start fails that stays true.

    :raise Aborted: OPERATION_IN_PROGRESS.
    :raise FailedPrecondition: INSTANCE_INVALID_STATE, it was deleted.
    """
    if not instance.at_rest:
        raise in_progress(instance)
    if instance.vm_state is VmState.DELETED:
        raise invalid_state(instance, RULES[task].verb, "vm_state", instance.vm_state, sorted(RULES[task].allowed))
    seen = VmState.STOPPED if task is TaskState.POWERING_ON else instance.vm_state
    return _claim(replace(instance, vm_state=seen), task, operation, at)


def finish(instance: Instance, operation: Operation, outcome: Outcome, at: datetime) -> Instance:
    """The instance after its operation went well.

    :raise Aborted: SUPERSEDED, another command has taken its place.
    """
    _check_holder(instance, operation)
    rested = _rest(instance, at, applied=operation.generation)
    rested = replace(rested, vm_state=RULES[operation.task].ends, fault=None)
    if operation.task in _BOOTS:
        launched = instance.launch_time or at
        rested = replace(rested, ports=outcome.ports, volumes=outcome.volumes, launch_time=launched)
    if operation.task is TaskState.DELETING:
        rested = replace(rested, power_state=PowerState.NO_STATE, power_state_observed_at=at)
    return _with_power(rested, outcome.power)


def fail(
    instance: Instance,
    operation: Operation,
    failure: Failure,
    *,
    known: bool,
    power: Observation | None,
    at: datetime,
) -> Instance:
    """The instance after its operation failed or was cancelled: at rest, with a fault.

    `known` says that the host told the end of it; otherwise nobody knows how the guest is, and power_state says so.

    :raise Aborted: SUPERSEDED, another command has taken its place.
    """
    _check_holder(instance, operation)
    fault = Fault(
        code=failure.code,
        reason=failure.reason,
        message=failure.message,
        step=failure.step,
        operation=operation.name,
        time=at,
    )
    rested = _rest(instance, at, applied=operation.generation if known else instance.applied_generation)
    rested = replace(_with_power(rested, power), fault=fault)
    if not known:
        rested = replace(rested, power_state=PowerState.UNKNOWN)
    return replace(rested, vm_state=_after_failure(rested, operation.task, known))


def _after_failure(instance: Instance, task: TaskState, known: bool) -> VmState:
    """Start and stop leave vm_state as it was; a reboot is judged by the guest (nova-behaviour §1.5)."""
    if task is TaskState.SPAWNING:
        return VmState.ERROR
    if task in (TaskState.REBOOTING, TaskState.REBOOTING_HARD) and known:
        return VmState.ACTIVE if instance.power_state is PowerState.RUNNING else VmState.ERROR
    return instance.vm_state


def _claim(instance: Instance, task: TaskState, operation: str, at: datetime) -> Instance:
    return replace(
        instance,
        task_state=task,
        current_operation=operation,
        generation=instance.generation + 1,
        version=instance.version + 1,
        update_time=at,
    )


def _rest(instance: Instance, at: datetime, applied: int) -> Instance:
    return replace(
        instance,
        task_state=TaskState.NONE,
        current_operation="",
        applied_generation=applied,
        version=instance.version + 1,
        update_time=at,
    )


def _with_power(instance: Instance, power: Observation | None) -> Instance:
    if power is None:
        return instance
    return replace(instance, power_state=power.power_state, power_state_observed_at=power.observed_at)


def _check_holder(instance: Instance, operation: Operation) -> None:
    if (instance.current_operation, instance.generation) == (operation.uid, operation.generation):
        return
    raise superseded(operation, instance.current_operation)


def superseded(operation: Operation, by: str) -> Aborted:
    """Another command has taken the place of this operation."""
    return Aborted(
        f"{operation.name} was superseded by a later command" + (f", operations/{by}" if by else ""),
        reason="SUPERSEDED",
        metadata={"operation": operation.name, **({"by": f"operations/{by}"} if by else {})},
    )


def invalid_state(instance: Instance, verb: str, attr: str, value: str, allowed: list[str]) -> FailedPrecondition:
    """It is not in a state in which this can be done to it."""
    wanted = " or ".join(allowed)
    hint = " (a hard reboot boots what never ran)" if attr == "launch_time" else ""
    description = f"cannot {verb.lower()} {instance.name} while its {attr} is {value}; it must be {wanted}{hint}"
    return FailedPrecondition(
        description,
        reason="INSTANCE_INVALID_STATE",
        metadata={"instance": instance.name, "attr": attr, "value": value, "allowed": ",".join(allowed)},
        precondition=Precondition(attr.upper(), instance.name, description),
    )


def in_progress(instance: Instance) -> Aborted:
    """Another task is in flight."""
    operation = f"operations/{instance.current_operation}"
    return Aborted(
        f"{instance.name} is {instance.task_state}; wait for {operation}, then try again",
        reason="OPERATION_IN_PROGRESS",
        metadata={"instance": instance.name, "operation": operation, "task_state": instance.task_state},
        retry_after=1.0,
    )
