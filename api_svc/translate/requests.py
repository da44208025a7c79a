"""What callers send, checked field by field, as commands."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any

from google.protobuf.message import Message
from protostar.api.v1 import image_pb2, instance_pb2, instance_service_pb2

from api_svc.domain import fields, lifecycle
from api_svc.domain.commands import (
    CreateInstance,
    Envelope,
    ImportImage,
    InstanceCommand,
    LockInstance,
    UnlockInstance,
    UpdateInstance,
)
from api_svc.domain.image import Image, Import
from api_svc.domain.instance import Port, Volume
from api_svc.domain.operation import Parameters
from api_svc.domain.states import OnConflict, RebootMode, StopMode, Verb
from api_svc.translate import values
from svckit import names
from svckit.errors import InvalidArgument

_MUTABLE = ("display_name", "metadata", "policy")


def start(message: instance_service_pb2.StartInstanceRequest, now: datetime) -> InstanceCommand:
    """:raise InvalidArgument: INVALID_FIELD, as every function here."""
    return _command(message, Verb.START, now, Parameters(repair=message.repair))


def stop(message: instance_service_pb2.StopInstanceRequest, now: datetime) -> InstanceCommand:
    """A negative or too long grace period is refused."""
    grace = values.seconds(message, "grace_period")
    fields.check_grace(grace)
    mode = values.STOP_MODE.chosen(message.mode, StopMode.GRACEFUL, "mode")
    return _command(message, Verb.STOP, now, Parameters(stop_mode=mode, grace_seconds=grace))


def reboot(message: instance_service_pb2.RebootInstanceRequest, now: datetime) -> InstanceCommand:
    """Soft by default."""
    mode = values.REBOOT_MODE.chosen(message.mode, RebootMode.SOFT, "mode")
    return _command(message, Verb.REBOOT, now, Parameters(reboot_mode=mode))


def delete(message: instance_service_pb2.DeleteInstanceRequest, now: datetime) -> InstanceCommand:
    """It has no deadline of its own."""
    return _command(message, Verb.DELETE, now, Parameters())


def _command(message: Any, verb: Verb, now: datetime, parameters: Parameters) -> InstanceCommand:
    wanted = values.moment(message, "deadline") if "deadline" in message.DESCRIPTOR.fields_by_name else None
    conflict = getattr(message, "on_conflict", 0)
    return InstanceCommand(
        uid=names.parse("instances", message.name),
        verb=verb,
        task=lifecycle.task_of(verb, parameters.reboot_mode),
        deadline=fields.deadline_of(wanted, now, parameters.grace_seconds),
        envelope=_envelope(message),
        on_conflict=values.ON_CONFLICT.chosen(conflict, OnConflict.REJECT, "on_conflict"),
        parameters=parameters,
    )


def create(message: instance_service_pb2.CreateInstanceRequest, now: datetime) -> CreateInstance:
    """Fields that are the server's are ignored (AIP-203)."""
    wanted = message.instance
    command = CreateInstance(
        uid=names.chosen_uuid(message.instance_id, "instance_id"),
        display_name=wanted.display_name,
        flavor=values.flavor(wanted.flavor),
        image=names.parse("images", wanted.image, "instance.image"),
        deadline=fields.deadline_of(values.moment(message, "deadline"), now),
        ports=tuple(_wanted_port(index, port) for index, port in enumerate(wanted.ports)),
        volumes=tuple(_wanted_volume(index, volume) for index, volume in enumerate(wanted.volumes)),
        without_network=message.without_network,
        config_drive=wanted.config_drive,
        user_data=wanted.user_data,
        metadata=dict(wanted.metadata),
        policy=values.policy(wanted.policy),
        envelope=_envelope(message),
    )
    _check(command)
    return command


def _check(command: CreateInstance) -> None:
    fields.check_display_name("instance.display_name", command.display_name)
    fields.check_flavor(command.flavor)
    fields.check_user_data(command.user_data)
    fields.check_metadata(command.metadata)
    fields.check_range("instance.ports", len(command.ports), 0, 28)
    fields.check_range("instance.volumes", len(command.volumes), 0, 20)
    if command.without_network and command.ports:
        raise InvalidArgument.field("without_network", "and instance.ports exclude each other")


def _wanted_port(index: int, message: instance_pb2.InstancePort) -> Port:
    field = f"instance.ports[{index}]"
    if bool(message.port) == bool(message.network):
        raise InvalidArgument.field(field, "must name a port or a network, and not both")
    if message.port:
        names.parse("ports", message.port, f"{field}.port")
    else:
        names.parse("networks", message.network, f"{field}.network")
    return Port(port=message.port, network=message.network)


def _wanted_volume(index: int, message: instance_pb2.InstanceVolume) -> Volume:
    names.parse("volumes", message.volume, f"instance.volumes[{index}].volume")
    fields.check_length(f"instance.volumes[{index}].device", message.device, 0, 32)
    return Volume(volume=message.volume, device=message.device)


def update(message: instance_service_pb2.UpdateInstanceRequest) -> UpdateInstance:
    """An empty mask means those of the mutable fields that are set; "*" means all of them (AIP-134)."""
    wanted = message.instance
    chosen = _mask(message)
    command = UpdateInstance(
        uid=names.parse("instances", wanted.name, "instance.name"),
        display_name=wanted.display_name if "display_name" in chosen else None,
        metadata=dict(wanted.metadata) if "metadata" in chosen else None,
        policy=values.policy(wanted.policy) if "policy" in chosen else None,
        envelope=_envelope(message, etag=wanted.etag),
    )
    if command.display_name is not None:
        fields.check_display_name("instance.display_name", command.display_name)
    fields.check_metadata(command.metadata or {})
    return command


def _mask(message: instance_service_pb2.UpdateInstanceRequest) -> set[str]:
    paths = set(message.update_mask.paths)
    if paths == {"*"}:
        return set(_MUTABLE)
    unknown = paths - set(_MUTABLE)
    if unknown:
        raise InvalidArgument.field("update_mask", f"may name {', '.join(_MUTABLE)}, not {', '.join(sorted(unknown))}")
    wanted = message.instance
    return paths or {field.name for field, _ in wanted.ListFields() if field.name in _MUTABLE}


def lock(message: instance_service_pb2.LockInstanceRequest) -> LockInstance:
    """With a reason of up to 255 characters."""
    fields.check_length("reason", message.reason, 0, 255)
    return LockInstance(uid=names.parse("instances", message.name), reason=message.reason, envelope=_envelope(message))


def unlock(message: instance_service_pb2.UnlockInstanceRequest) -> UnlockInstance:
    """Nothing but the envelope."""
    return UnlockInstance(uid=names.parse("instances", message.name), envelope=_envelope(message))


def import_image(message: image_pb2.ImportImageRequest) -> ImportImage:
    """What can be checked without reading the source."""
    wanted = message.image
    image = Image(
        uid=names.chosen_uuid(message.image_id, "image_id"),
        display_name=wanted.display_name,
        disk_format=wanted.disk_format,
        min_disk_gib=wanted.min_disk_gib,
        min_memory_mib=wanted.min_memory_mib,
        properties=dict(wanted.properties),
    )
    _check_image(image)
    fields.check_source(message.source)
    fields.check_sha256(message.sha256)
    return ImportImage(
        wanted=Import(image=image, source=message.source, sha256=message.sha256.lower()), envelope=_envelope(message)
    )


def _check_image(image: Image) -> None:
    fields.check_display_name("image.display_name", image.display_name)
    if image.disk_format not in ("", "qcow2", "raw", "iso"):
        raise InvalidArgument.field("image.disk_format", f'must be qcow2, raw, iso or empty, got "{image.disk_format}"')
    fields.check_range("image.min_disk_gib", image.min_disk_gib, 0, 65_536)
    fields.check_range("image.min_memory_mib", image.min_memory_mib, 0, 16_777_216)
    fields.check_properties(image.properties)


def _envelope(message: Any, etag: str = "") -> Envelope:
    envelope = Envelope(
        request_id=message.request_id.lower(),
        digest=_digest(message),
        etag=etag or getattr(message, "etag", ""),
        validate_only=message.validate_only,
    )
    fields.check_envelope(envelope)
    return envelope


def _digest(message: Message) -> str:
    """Which request it is: method and content."""
    if not getattr(message, "request_id", ""):
        return ""
    content = message.SerializeToString(deterministic=True)
    return hashlib.sha256(message.DESCRIPTOR.full_name.encode() + b"\0" + content).hexdigest()
