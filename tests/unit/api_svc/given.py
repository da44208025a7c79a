"""Values for tests of api_svc's rules."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from api_svc.domain.commands import InstanceCommand
from api_svc.domain.host import Facts, Host
from api_svc.domain.instance import Flavor, Instance, Placed, Spec
from api_svc.domain.lifecycle import task_of
from api_svc.domain.operation import Operation
from api_svc.domain.policy import Caller, Role
from api_svc.domain.states import RebootMode, TaskState, Verb, VmState

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
ADMIN = Caller(user="ada", project="p", roles=frozenset({Role.ADMIN}))
MEMBER = Caller(user="mia", project="p", roles=frozenset({Role.MEMBER}))
READER = Caller(user="rita", project="p", roles=frozenset({Role.READER}))
STRANGER = Caller(user="sam", project="other", roles=frozenset({Role.MEMBER}))


def instance(**fields: Any) -> Instance:
    """A stopped instance at rest that once ran."""
    resting = Instance(
        uid=str(uuid.uuid4()),
        display_name="vm",
        project="p",
        user="mia",
        spec=Spec(flavor=Flavor(vcpus=1, memory_mib=64), image=str(uuid.uuid4())),
        host="here",
        vm_state=VmState.STOPPED,
        generation=3,
        applied_generation=3,
        version=7,
        create_time=NOW - timedelta(days=1),
        update_time=NOW - timedelta(hours=1),
        launch_time=NOW - timedelta(days=1),
    )
    return replace(resting, **fields)


def host(**fields: Any) -> Host:
    """A host that answers."""
    facts = Facts(
        name=fields.pop("name", "here"), vcpus=fields.pop("vcpus", 4), memory_mib=fields.pop("memory_mib", 1000)
    )
    return replace(Host(facts=facts, address="unix:/x", last_seen=NOW), **fields)


def placed(**fields: Any) -> Placed:
    """Such an instance on such a host."""
    return Placed(instance=instance(**fields), host=host())


def command(verb: Verb, mode: RebootMode = RebootMode.SOFT, **fields: Any) -> InstanceCommand:
    """A command at an instance."""
    given = {"uid": str(uuid.uuid4()), "deadline": NOW + timedelta(minutes=10), **fields}
    return InstanceCommand(verb=verb, task=task_of(verb, mode), **given)


def operation(on: Instance, **fields: Any) -> Operation:
    """The operation that holds an instance."""
    known = Operation(
        uid=on.current_operation or str(uuid.uuid4()),
        verb=Verb.START,
        target=on.name,
        project=on.project,
        actor="users/mia",
        host=on.host,
        task=on.task_state if on.task_state is not TaskState.NONE else TaskState.POWERING_ON,
        generation=on.generation,
        attempt=1,
        create_time=NOW,
        deadline=NOW + timedelta(minutes=10),
        not_before=NOW,
    )
    return replace(known, **fields)
