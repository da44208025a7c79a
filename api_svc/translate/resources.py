"""What the public door answers with: instances, hosts, images, events."""

from __future__ import annotations

from datetime import UTC

from google.rpc.status_pb2 import Status
from protostar.api.v1 import host_pb2, image_pb2, instance_pb2, instance_service_pb2

from api_svc.domain.event import Event
from api_svc.domain.failure import Failure
from api_svc.domain.host import Facts, Host
from api_svc.domain.image import Image
from api_svc.domain.instance import Fault, Instance
from api_svc.translate import values
from svckit import status


def instance_to_wire(instance: Instance) -> instance_pb2.Instance:
    """All of it."""
    operation = instance.current_operation
    return instance_pb2.Instance(
        name=instance.name,
        uid=instance.uid,
        display_name=instance.display_name,
        project=instance.project,
        host=f"hosts/{instance.host}" if instance.host else "",
        vm_state=values.VM_STATE.number(instance.vm_state),
        task_state=values.TASK_STATE.number(instance.task_state),
        power_state=values.POWER_STATE.number(instance.power_state),
        power_state_observed_at=values.timestamp(instance.power_state_observed_at),
        flavor=values.flavor_to_wire(instance.spec.flavor),
        image=f"images/{instance.spec.image}",
        ports=values.ports_to_wire(instance.ports),
        volumes=values.volumes_to_wire(instance.volumes),
        config_drive=instance.spec.config_drive,
        user_data=instance.user_data,
        metadata=instance.metadata,
        locked=bool(instance.locked_by),
        lock_reason=instance.lock_reason,
        current_operation=f"operations/{operation}" if operation else "",
        fault=_fault(instance.fault) if instance.fault else None,
        etag=instance.etag,
        generation=instance.generation,
        create_time=values.timestamp(instance.create_time),
        update_time=values.timestamp(instance.update_time),
        launch_time=values.timestamp(instance.launch_time),
        user=instance.user,
        policy=values.policy_to_wire(instance.policy),
    )


def _fault(fault: Fault) -> instance_pb2.Fault:
    return instance_pb2.Fault(
        code=fault.code,
        reason=fault.reason,
        message=fault.message,
        step=fault.step,
        operation=fault.operation,
        time=values.timestamp(fault.time),
    )


def failure_to_wire(failure: Failure, trace_id: str) -> Status:
    """The error's status, with all its details."""
    return status.to_status(failure.as_error(), trace_id)


def event_to_wire(cursor: str, event: Event) -> instance_service_pb2.InstanceEvent:
    """An event and where the stream goes on after it."""
    return instance_service_pb2.InstanceEvent(
        cursor=cursor,
        type=event.type,
        instance=instance_to_wire(event.instance) if event.instance else None,
        operation=event.operation,
        time=values.timestamp(event.time),
        error=failure_to_wire(event.error, event.trace_id) if event.error else None,
        trace_id=event.trace_id,
    )


def host_to_wire(host: Host, *, silent: bool) -> host_pb2.Host:
    """All of it."""
    facts = host.facts
    return host_pb2.Host(
        name=f"hosts/{facts.name}",
        state=host_pb2.HOST_STATE_SILENT if silent else values.HOST_STATE.number(host.state),
        last_seen=values.timestamp(host.last_seen),
        connection=facts.connection,
        domain_type=facts.domain_type,
        arch=facts.arch,
        libvirt_version=facts.libvirt_version,
        hypervisor_version=facts.hypervisor_version,
        vcpus=facts.vcpus,
        memory_mib=facts.memory_mib,
        instances=host.usage.instances,
        vcpus_used=host.usage.vcpus,
        memory_mib_used=host.usage.memory_mib,
    )


def facts(message: host_pb2.Host, boot_id: str) -> Facts:
    """What a host says of itself."""
    return Facts(
        name=message.name.removeprefix("hosts/"),
        boot_id=boot_id,
        connection=message.connection,
        domain_type=message.domain_type,
        arch=message.arch,
        libvirt_version=message.libvirt_version,
        hypervisor_version=message.hypervisor_version,
        vcpus=message.vcpus,
        memory_mib=message.memory_mib,
    )


def image_to_wire(image: Image) -> image_pb2.Image:
    """All of it."""
    return image_pb2.Image(
        name=f"images/{image.uid}" if image.uid else "",
        uid=image.uid,
        display_name=image.display_name,
        disk_format=image.disk_format,
        size_bytes=image.size_bytes,
        virtual_size_bytes=image.virtual_size_bytes,
        sha256=image.sha256,
        min_disk_gib=image.min_disk_gib,
        min_memory_mib=image.min_memory_mib,
        properties=image.properties,
        create_time=values.timestamp(image.create_time),
    )


def image(message: image_pb2.Image) -> Image:
    """All of it."""
    created = message.create_time.ToDatetime(tzinfo=UTC) if message.HasField("create_time") else None
    return Image(
        uid=message.uid or message.name.removeprefix("images/"),
        display_name=message.display_name,
        disk_format=message.disk_format,
        size_bytes=message.size_bytes,
        virtual_size_bytes=message.virtual_size_bytes,
        sha256=message.sha256,
        min_disk_gib=message.min_disk_gib,
        min_memory_mib=message.min_memory_mib,
        properties=dict(message.properties),
        create_time=created,
    )
