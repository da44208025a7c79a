"""Whether a command may begin: the checks of design §5, in its order, each a refusal that changes nothing.

credential and request fields (done before) → the instance is there and his → policy → lock → placed on a known host →
state → etag, which stands for the compare-and-swap.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from api_svc.domain import lifecycle, policy
from api_svc.domain.commands import InstanceCommand
from api_svc.domain.instance import Instance, Placed
from api_svc.domain.policy import Caller
from api_svc.domain.states import OnConflict, TaskState, VmState
from svckit.errors import Aborted, FailedPrecondition, NotFound, Precondition, Resource


class Verdict(Enum):
    """What to do with an admitted command."""

    BEGIN = auto()
    ALREADY_THERE = auto()
    JOIN = auto()


@dataclass(frozen=True, kw_only=True, slots=True)
class Admitted:
    """An admitted command and what it is about."""

    placed: Placed
    verdict: Verdict


def visible(caller: Caller, placed: Placed | None, uid: str) -> Placed:
    """The instance, if it exists for this caller.

    :raise NotFound: INSTANCE_NOT_FOUND.
    """
    if placed is None or placed.instance.vm_state is VmState.DELETED:
        raise NotFound.of("instance", f"instances/{uid}")
    policy.require_visible(caller, placed.instance.project, "instance", placed.instance.name)
    return placed


def admit(caller: Caller, placed: Placed | None, command: InstanceCommand) -> Admitted:
    """Every check of a start, stop, reboot or delete.

    :raise ProtostarError: the first check that fails.
    """
    found = visible(caller, placed, command.uid)
    policy.require(caller, f"instance.{command.verb.lower()}")
    check_lock(caller, found.instance)
    if command.task is not TaskState.DELETING:
        check_placed(found)
    verdict = _settle_conflict(found.instance, command)
    if verdict is Verdict.BEGIN:
        lifecycle.check(found.instance, command.task)
    check_etag(found.instance, command.envelope.etag)
    return Admitted(placed=found, verdict=verdict)


def check_lock(caller: Caller, instance: Instance) -> None:
    """Admins pass.

    :raise FailedPrecondition: INSTANCE_LOCKED.
    """
    if not instance.locked_by or caller.is_admin:
        return
    who = "an admin" if instance.locked_by == "admin" else "its owner"
    why = f": {instance.lock_reason}" if instance.lock_reason else ""
    description = f"{instance.name} was locked by {who}{why}; unlock it first"
    raise FailedPrecondition(
        description,
        reason="INSTANCE_LOCKED",
        metadata={"instance": instance.name, "locked_by": instance.locked_by, "lock_reason": instance.lock_reason},
        precondition=Precondition("LOCK", instance.name, description),
    )


def check_placed(placed: Placed) -> None:
    """It is on a host, and on one that is known. Whether that host answers is asked later, and waited for.

    :raise FailedPrecondition: INSTANCE_NOT_READY.
    :raise NotFound: HOST_UNKNOWN.
    """
    instance = placed.instance
    if not instance.host:
        description = f"{instance.name} is not placed on a host yet; wait for its creation to end"
        raise FailedPrecondition(
            description,
            reason="INSTANCE_NOT_READY",
            metadata={"instance": instance.name},
            precondition=Precondition("PLACEMENT", instance.name, description),
        )
    if placed.host is None:
        raise unknown_host(instance.host)


def unknown_host(name: str) -> NotFound:
    """No host of this name ever reported."""
    return NotFound(
        f"host {name!r} is not known; start its compute_svc and name its address in PROTOSTAR_COMPUTE_ADDRESSES",
        reason="HOST_UNKNOWN",
        metadata={"host": f"hosts/{name}"},
        resource=Resource("host", f"hosts/{name}"),
    )


def check_etag(instance: Instance, etag: str) -> None:
    """An etag that was sent is still the current one (AIP-154).

    :raise Aborted: CONCURRENT_UPDATE.
    """
    if etag and etag != instance.etag:
        raise concurrent_update(instance)


def concurrent_update(instance: Instance) -> Aborted:
    """Somebody else was faster."""
    return Aborted(
        f"{instance.name} was changed by somebody else in the meantime; read it again, then retry",
        reason="CONCURRENT_UPDATE",
        metadata={"instance": instance.name, "etag": instance.etag},
        retry_after=0.1,
    )


def _settle_conflict(instance: Instance, command: InstanceCommand) -> Verdict:
    if command.on_conflict is not OnConflict.JOIN:
        return Verdict.BEGIN
    if instance.task_state is command.task:
        return Verdict.JOIN
    if instance.at_rest and instance.vm_state is lifecycle.RULES[command.task].ends:
        return Verdict.ALREADY_THERE
    return Verdict.BEGIN
