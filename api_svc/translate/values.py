"""Enums, times, and the values of an instance, in both directions."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Generic, TypeVar

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from protostar.api.v1 import host_pb2, instance_pb2, instance_service_pb2, operation_pb2

from api_svc.domain import states
from api_svc.domain.instance import Flavor, Policy, Port, Volume
from svckit.errors import InvalidArgument

_Word = TypeVar("_Word", bound=StrEnum)


class Words(Generic[_Word]):
    """An enum of ours and its enum on the wire, whose names are ours behind a prefix."""

    def __init__(self, ours: type[_Word], wire: Any, prefix: str) -> None:
        numbers = dict(wire.items())
        self._numbers = {word: numbers[prefix + word] for word in ours if prefix + word in numbers}
        self._words = {number: word for word, number in self._numbers.items()}

    def number(self, word: _Word | None) -> Any:
        """The wire's number; 0, unspecified, for None."""
        return 0 if word is None else self._numbers[word]

    def word(self, number: int) -> _Word | None:
        """Our word; None for unspecified, and for what a newer peer may send."""
        return self._words.get(number)

    def chosen(self, number: int, default: _Word, field: str) -> _Word:
        """A caller's choice, or the default for none. :raise InvalidArgument: there is no such choice."""
        if number == 0:
            return default
        word = self._words.get(number)
        if word is None:
            raise InvalidArgument.field(field, f"{number} is not one of {', '.join(self._numbers)}")
        return word


VM_STATE = Words(states.VmState, instance_pb2.VmState, "VM_STATE_")
TASK_STATE = Words(states.TaskState, instance_pb2.TaskState, "TASK_STATE_")
POWER_STATE = Words(states.PowerState, instance_pb2.PowerState, "POWER_STATE_")
HOST_BOOT = Words(states.HostBootPolicy, instance_pb2.HostBootPolicy, "HOST_BOOT_POLICY_")
UNEXPECTED_STOP = Words(states.UnexpectedStopPolicy, instance_pb2.UnexpectedStopPolicy, "UNEXPECTED_STOP_POLICY_")
UNEXPECTED_START = Words(states.UnexpectedStartPolicy, instance_pb2.UnexpectedStartPolicy, "UNEXPECTED_START_POLICY_")
ON_CONFLICT = Words(states.OnConflict, instance_service_pb2.OnConflict, "ON_CONFLICT_")
STOP_MODE = Words(states.StopMode, instance_service_pb2.StopMode, "STOP_MODE_")
STOP_OUTCOME = Words(states.StopOutcome, instance_service_pb2.StopOutcome, "STOP_OUTCOME_")
REBOOT_MODE = Words(states.RebootMode, instance_service_pb2.RebootMode, "REBOOT_MODE_")
VERB = Words(states.Verb, operation_pb2.Verb, "VERB_")
OPERATION_STATE = Words(states.OperationState, operation_pb2.OperationState, "OPERATION_STATE_")
STEP_STATE = Words(states.StepState, operation_pb2.StepState, "STEP_STATE_")
HOST_STATE = Words(states.HostState, host_pb2.HostState, "HOST_STATE_")


def timestamp(moment: datetime | None) -> Timestamp | None:
    """A moment on the wire."""
    if moment is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp


def moment(message: Any, field: str) -> datetime | None:
    """A time field of a message; None if it is not set."""
    if not message.HasField(field):
        return None
    stamp: Timestamp = getattr(message, field)
    try:
        return stamp.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise InvalidArgument.field(field, "is not a valid time") from error


def duration(seconds: float) -> Duration:
    """A length of time on the wire."""
    length = Duration()
    length.FromNanoseconds(int(seconds * 1e9))
    return length


def seconds(message: Any, field: str) -> float | None:
    """A duration field of a message; None if it is not set."""
    if not message.HasField(field):
        return None
    length: Duration = getattr(message, field)
    return length.seconds + length.nanos / 1e9


def flavor_to_wire(flavor: Flavor) -> instance_pb2.Flavor:
    """As it is."""
    return instance_pb2.Flavor(
        vcpus=flavor.vcpus,
        memory_mib=flavor.memory_mib,
        root_gib=flavor.root_gib,
        ephemeral_gib=flavor.ephemeral_gib,
        swap_mib=flavor.swap_mib,
    )


def flavor(message: instance_pb2.Flavor) -> Flavor:
    """As it is; unchecked."""
    return Flavor(
        vcpus=message.vcpus,
        memory_mib=message.memory_mib,
        root_gib=message.root_gib,
        ephemeral_gib=message.ephemeral_gib,
        swap_mib=message.swap_mib,
    )


def ports_to_wire(ports: Iterable[Port]) -> list[instance_pb2.InstancePort]:
    """In guest order."""
    return [
        instance_pb2.InstancePort(
            port=each.port, network=each.network, mac_address=each.mac_address, ip_addresses=each.ip_addresses
        )
        for each in ports
    ]


def ports(messages: Iterable[instance_pb2.InstancePort]) -> tuple[Port, ...]:
    """In guest order."""
    return tuple(
        Port(
            port=each.port,
            network=each.network,
            mac_address=each.mac_address,
            ip_addresses=tuple(each.ip_addresses),
        )
        for each in messages
    )


def volumes_to_wire(volumes: Iterable[Volume]) -> list[instance_pb2.InstanceVolume]:
    """In order of attachment."""
    return [instance_pb2.InstanceVolume(volume=each.volume, device=each.device) for each in volumes]


def volumes(messages: Iterable[instance_pb2.InstanceVolume]) -> tuple[Volume, ...]:
    """In order of attachment."""
    return tuple(Volume(volume=each.volume, device=each.device) for each in messages)


def policy_to_wire(policy: Policy) -> instance_pb2.InstancePolicy:
    """With every default named."""
    return instance_pb2.InstancePolicy(
        on_host_boot=HOST_BOOT.number(policy.on_host_boot),
        on_unexpected_stop=UNEXPECTED_STOP.number(policy.on_unexpected_stop),
        on_unexpected_start=UNEXPECTED_START.number(policy.on_unexpected_start),
    )


def policy(message: instance_pb2.InstancePolicy) -> Policy:
    """Unset fields take the defaults. :raise InvalidArgument: a value that there is not."""
    default = Policy()
    return Policy(
        on_host_boot=HOST_BOOT.chosen(message.on_host_boot, default.on_host_boot, "instance.policy.on_host_boot"),
        on_unexpected_stop=UNEXPECTED_STOP.chosen(
            message.on_unexpected_stop, default.on_unexpected_stop, "instance.policy.on_unexpected_stop"
        ),
        on_unexpected_start=UNEXPECTED_START.chosen(
            message.on_unexpected_start, default.on_unexpected_start, "instance.policy.on_unexpected_start"
        ),
    )
