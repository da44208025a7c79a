"""Between the wire and the domain; the one file that knows both."""

from __future__ import annotations

from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp
from protostar.api.v1 import image_pb2 as api
from protostar.api.v1 import operation_pb2 as operation
from protostar.image.v1 import image_pb2 as pb

from image_svc.domain.disks import DiskFacts, DiskRole, InstanceDisks, WantedDisk
from image_svc.domain.images import Image, ImportOrder, parse_format
from image_svc.usecases.ensure_disks import Ensured
from image_svc.usecases.import_image import ProgressEvent, StepEvent
from svckit import status
from svckit.errors import InvalidArgument

_ROLES = {
    pb.DISK_ROLE_ROOT: DiskRole.ROOT,
    pb.DISK_ROLE_EPHEMERAL: DiskRole.EPHEMERAL,
    pb.DISK_ROLE_SWAP: DiskRole.SWAP,
    pb.DISK_ROLE_CONFIG: DiskRole.CONFIG,
}


def order_from(request: pb.ImportImageRequest) -> ImportOrder:
    """:raise InvalidArgument: a format that is not accepted."""
    image = request.image
    return ImportOrder(
        uid=request.uid,
        display_name=image.display_name,
        source=request.source,
        disk_format=parse_format(image.disk_format, "image.disk_format"),
        sha256=request.sha256,
        min_disk_gib=image.min_disk_gib,
        min_memory_mib=image.min_memory_mib,
        properties=dict(image.properties),
    )


def disks_from(request: pb.EnsureDisksRequest) -> InstanceDisks:
    """:raise InvalidArgument: a role that there is not."""
    wanted = [_wanted_from(disk, f"disks[{index}]") for index, disk in enumerate(request.disks)]
    return InstanceDisks(uid=request.uid, image=request.image, disks=wanted, os_type=request.os_type)


def _wanted_from(disk: pb.WantedDisk, where: str) -> WantedDisk:
    role = _ROLES.get(disk.role)
    if role is None:
        raise InvalidArgument.field(f"{where}.role", "must be one of the roles of DiskRole")
    return WantedDisk(name=disk.name, role=role, size_bytes=disk.size_bytes)


def image_to(image: Image) -> api.Image:
    return api.Image(
        name=f"images/{image.uid}",
        uid=image.uid,
        display_name=image.display_name,
        disk_format=image.disk_format.value,
        size_bytes=image.size_bytes,
        virtual_size_bytes=image.virtual_size_bytes,
        sha256=image.sha256,
        min_disk_gib=image.min_disk_gib,
        min_memory_mib=image.min_memory_mib,
        properties=image.properties,
        create_time=_time_to(image.create_time),
    )


def event_to(event: StepEvent | ProgressEvent) -> pb.ImportImageResponse:
    if isinstance(event, ProgressEvent):
        progress = operation.Progress(done_bytes=event.done_bytes, total_bytes=event.total_bytes)
        return pb.ImportImageResponse(progress=progress)
    return pb.ImportImageResponse(step=_step_to(event))


def _step_to(event: StepEvent) -> operation.Step:
    step = operation.Step(name=event.name, state=operation.STEP_STATE_RUNNING, start_time=_time_to(event.began))
    if event.ended is not None:
        step.state = operation.STEP_STATE_DONE
        step.end_time.CopyFrom(_time_to(event.ended))
    if event.error is not None:
        step.state = operation.STEP_STATE_FAILED
        step.error.CopyFrom(status.to_status(event.error))
    return step


def ensured_to(ensured: Ensured) -> pb.EnsureDisksResponse:
    return pb.EnsureDisksResponse(disks=map(facts_to, ensured.disks), base_fetched=ensured.base_fetched)


def facts_to(facts: DiskFacts) -> pb.DiskFacts:
    return pb.DiskFacts(
        name=facts.name,
        path=facts.path,
        type=facts.type.value,
        virtual_size_bytes=facts.virtual_size_bytes,
        disk_size_bytes=facts.disk_size_bytes,
        backing_file=facts.backing_file,
        over_committed_size_bytes=facts.over_committed_size_bytes,
        created=facts.created,
        content_digest=facts.content_digest,
    )


def _time_to(time: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(time)
    return stamp
