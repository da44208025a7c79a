"""The one file that knows both the protos of ComputeService and our own values."""

from __future__ import annotations

from datetime import datetime

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from protostar.api.v1 import host_pb2, instance_pb2, instance_service_pb2, operation_pb2
from protostar.compute.v1 import compute_pb2 as pb

from compute_svc.domain.guest import HostFacts, PowerObservation
from compute_svc.domain.journal import Command
from compute_svc.domain.model import Flavor, InstanceSpec
from compute_svc.domain.results import Rebooted, RebootMode, Started, StopMode, Stopped
from compute_svc.domain.steps import Step
from compute_svc.usecases.watch import Heartbeat, Snapshot, Told
from svckit import names, status
from svckit.errors import InvalidArgument

# --- requests ---


def command(request: pb.Command, now: datetime) -> Command:
    """Who asks for what, and how long it may take.

    :raise InvalidArgument: a field is missing.
    """
    if not names.is_uuid(request.operation):
        raise InvalidArgument.field("command.operation", f"must be a UUID in lower case, got {request.operation!r}")
    if request.generation < 1:
        raise InvalidArgument.field("command.generation", f"must be positive, got {request.generation}")
    return Command(
        operation=request.operation,
        generation=request.generation,
        attempt=max(1, request.attempt),
        seconds=_seconds_left(request, now),
    )


def _seconds_left(request: pb.Command, now: datetime) -> float:
    if request.HasField("time_left"):
        return max(0.0, seconds(request.time_left))
    if request.HasField("deadline"):
        return max(0.0, (request.deadline.ToDatetime(now.tzinfo) - now).total_seconds())
    raise InvalidArgument.field("command.time_left", "must be set, so that the work ends in time")


def uid(text: str, field: str = "uid") -> str:
    """An instance's UUID; it becomes part of file names.

    :raise InvalidArgument: it is none.
    """
    if not names.is_uuid(text):
        raise InvalidArgument.field(field, f"must be a UUID in lower case, got {text!r}")
    return text


def spec(request: pb.InstanceSpec) -> InstanceSpec:
    """What is to be booted.

    :raise InvalidArgument: a UUID is none, or the flavor has no CPU or memory.
    """
    flavor = request.flavor
    if flavor.vcpus < 1 or flavor.memory_mib < 1:
        raise InvalidArgument.field("spec.flavor", "needs at least one vcpu and one MiB of memory")
    return InstanceSpec(
        uid=uid(request.uid, "spec.uid"),
        display_name=request.display_name,
        project=request.project,
        user=request.user,
        flavor=Flavor(
            vcpus=flavor.vcpus,
            memory_mib=flavor.memory_mib,
            root_gib=flavor.root_gib,
            ephemeral_gib=flavor.ephemeral_gib,
            swap_mib=flavor.swap_mib,
        ),
        image=uid(request.image, "spec.image"),
        image_properties=dict(request.image_properties),
        image_disk_format=request.image_disk_format or "qcow2",
        config_drive=request.config_drive,
        user_data=request.user_data,
        metadata=dict(request.metadata),
    )


def stop_mode(mode: int) -> StopMode:
    """GRACEFUL unless it says FORCE."""
    return StopMode.FORCE if mode == instance_service_pb2.STOP_MODE_FORCE else StopMode.GRACEFUL


def reboot_mode(mode: int) -> RebootMode:
    """SOFT unless it says HARD."""
    return RebootMode.HARD if mode == instance_service_pb2.REBOOT_MODE_HARD else RebootMode.SOFT


def seconds(duration: Duration) -> float:
    """A duration in seconds."""
    return float(duration.seconds) + duration.nanos / 1e9


# --- responses ---


def step(told: Step) -> operation_pb2.Step:
    """A step as it stands."""
    message = operation_pb2.Step(
        name=told.name,
        state=operation_pb2.StepState.Value(f"STEP_STATE_{told.state}"),
        attempt=told.attempt,
        start_time=_timestamp(told.started_at),
        detail=told.detail,
    )
    if told.ended_at is not None:
        message.end_time.CopyFrom(_timestamp(told.ended_at))
    if told.failure is not None:
        message.error.CopyFrom(status.to_status(told.failure.error()))
    return message


def started(result: Started) -> pb.StartResult:
    """A guest that runs."""
    ports = [
        instance_pb2.InstancePort(
            port=f"ports/{port.port}",
            network=f"networks/{port.network}",
            mac_address=port.mac_address,
            ip_addresses=port.ip_addresses,
        )
        for port in result.ports
    ]
    volumes = [instance_pb2.InstanceVolume(volume=f"volumes/{v.volume}", device=v.device) for v in result.volumes]
    return pb.StartResult(power=observation(result.power), ports=ports, volumes=volumes, fast_start=result.fast_start)


def stopped(result: Stopped) -> pb.StopResult:
    """A guest that is off."""
    outcome = instance_service_pb2.StopOutcome.Value(f"STOP_OUTCOME_{result.outcome}")
    return pb.StopResult(power=observation(result.power), outcome=outcome)


def rebooted(result: Rebooted) -> pb.RebootResult:
    """A guest that runs again."""
    performed = instance_service_pb2.RebootMode.Value(f"REBOOT_MODE_{result.performed}")
    return pb.RebootResult(start=started(result.start), performed=performed)


def observation(seen: PowerObservation) -> pb.PowerObservation:
    """What libvirt said about a guest."""
    return pb.PowerObservation(
        uid=seen.uid,
        power_state=instance_pb2.PowerState.Value(f"POWER_STATE_{seen.power.value}"),
        observed_at=_timestamp(seen.observed_at),
        reason=seen.reason,
        generation=seen.generation,
    )


def told(event: Told) -> pb.WatchHostResponse:
    """One word of WatchHost."""
    match event:
        case HostFacts():
            return pb.WatchHostResponse(host=_host(event))
        case Snapshot():
            snapshot = pb.PowerSnapshot(observations=[observation(seen) for seen in event.observations])
            return pb.WatchHostResponse(snapshot=snapshot)
        case PowerObservation():
            return pb.WatchHostResponse(observation=observation(event))
        case Heartbeat():
            return pb.WatchHostResponse(heartbeat=pb.Heartbeat(time=_timestamp(event.time)))


def _host(facts: HostFacts) -> pb.HostFacts:
    host = host_pb2.Host(
        name=f"hosts/{facts.name}",
        connection=facts.connection,
        domain_type=facts.caps.domain_type,
        arch=facts.caps.arch,
        libvirt_version=_version(facts.caps.libvirt_version),
        hypervisor_version=_version(facts.caps.hypervisor_version),
        vcpus=facts.vcpus,
        memory_mib=facts.memory_mib,
    )
    return pb.HostFacts(host=host, boot_id=facts.boot_id)


def _version(number: int) -> str:
    return f"{number // 1_000_000}.{number // 1_000 % 1_000}.{number % 1_000}"


def _timestamp(at: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(at)
    return stamp
