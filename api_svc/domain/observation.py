"""What hosts see of guests, and what follows when reality changed without a command.

The default is Nova's power sync (nova-behaviour §6.2) where that is sane: a guest found off is marked STOPPED. Where
Nova kills a guest that somebody else started, ours is adopted. Both are a policy of the instance.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from api_svc.domain.host import Host
from api_svc.domain.instance import Instance
from api_svc.domain.states import (
    OFF,
    HostBootPolicy,
    PowerState,
    TaskState,
    UnexpectedStartPolicy,
    UnexpectedStopPolicy,
    VmState,
)
from svckit.clock import LONGEST_AHEAD


@dataclass(frozen=True, kw_only=True, slots=True)
class Observation:
    """What libvirt said of a guest, and when, by the host's clock. `generation` is the newest the host has applied."""

    uid: str
    power_state: PowerState
    observed_at: datetime
    generation: int = 0
    reason: str = ""

    def is_older_than(self, moment: datetime) -> bool:
        """Whether it was seen before; what seems far too old was seen after the host's clock was set back."""
        return moment - LONGEST_AHEAD < self.observed_at < moment

    def is_later_than(self, moment: datetime) -> bool:
        """Whether it was seen afterwards, by the same reckoning."""
        return self.observed_at != moment and not self.is_older_than(moment)


@dataclass(frozen=True, kw_only=True, slots=True)
class Reaction:
    """The instance as it is now known, and the task that Protostar itself must begin on it, NONE for none."""

    instance: Instance
    follow_up: TaskState = TaskState.NONE


def observe(instance: Instance, seen: Observation, at: datetime, *, host_booted: bool = False) -> Reaction | None:
    """What an observation changes; None when it changes nothing.

    One that is older than what is known, or from before the last command that the host has ended, is none.
    """
    if _is_stale(instance, seen) or instance.vm_state is VmState.DELETED:
        return None
    told = replace(
        instance,
        power_state=seen.power_state,
        power_state_observed_at=seen.observed_at,
        update_time=at,
        version=instance.version + 1,
    )
    if instance.at_rest:
        reaction = _react(told, host_booted)
        if reaction is not None:
            return reaction
    return Reaction(instance=told) if seen.power_state is not instance.power_state else None


def _is_stale(instance: Instance, seen: Observation) -> bool:
    """From before the last command that the host has ended, or from before what is known."""
    if seen.generation < instance.applied_generation:
        return True
    known_at = instance.power_state_observed_at
    return known_at is not None and seen.is_older_than(known_at)


def _react(instance: Instance, host_booted: bool) -> Reaction | None:
    if instance.vm_state is VmState.ACTIVE and instance.power_state in OFF:
        return _after_host_boot(instance) if host_booted else _after_stop(instance)
    if instance.vm_state is VmState.STOPPED and instance.power_state is PowerState.RUNNING:
        return _after_start(instance)
    return None


def _after_host_boot(instance: Instance) -> Reaction:
    if instance.policy.on_host_boot is HostBootPolicy.RESUME:
        return Reaction(instance=instance, follow_up=TaskState.POWERING_ON)
    return Reaction(instance=replace(instance, vm_state=VmState.STOPPED))


def _after_stop(instance: Instance) -> Reaction | None:
    match instance.policy.on_unexpected_stop:
        case UnexpectedStopPolicy.MARK:
            return Reaction(instance=replace(instance, vm_state=VmState.STOPPED))
        case UnexpectedStopPolicy.RESTART:
            return Reaction(instance=instance, follow_up=TaskState.POWERING_ON)
        case UnexpectedStopPolicy.IGNORE:
            return None


def _after_start(instance: Instance) -> Reaction | None:
    match instance.policy.on_unexpected_start:
        case UnexpectedStartPolicy.ADOPT:
            return Reaction(instance=replace(instance, vm_state=VmState.ACTIVE, fault=None))
        case UnexpectedStartPolicy.KILL:
            return Reaction(instance=instance, follow_up=TaskState.POWERING_OFF)
        case UnexpectedStartPolicy.IGNORE:
            return None


def as_seen(instance: Instance, host: Host | None, now: datetime, stale_after: timedelta) -> Instance:
    """The instance as a reader may be told of it: unknown, never off, when its host has been silent for too long."""
    if host is None or host.is_silent(now, stale_after):
        return replace(instance, power_state=PowerState.UNKNOWN)
    return instance
