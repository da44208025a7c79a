"""protostar volume …"""

from __future__ import annotations

import time
import uuid
from enum import StrEnum
from typing import Annotated

import typer
from protostar.api.v1 import volume_pb2

from cli.client import resolve
from cli.client.api import Api
from cli.command import command
from cli.commands.arguments import Filter, InstanceArgument, Limit, NewName, VolumeArgument
from cli.present import messages, tables, terminal, words
from cli.present.tables import Column
from cli.session import Session

app = typer.Typer(no_args_is_help=True, help="Volumes: disks that outlive instances.")


class VolumeFormat(StrEnum):
    """How a volume is kept."""

    QCOW2 = "qcow2"
    RAW = "raw"


@command(app, "create")
async def create(
    session: Session,
    api: Api,
    name: NewName,
    size: Annotated[int, typer.Option(metavar="GIB", min=1, max=65536, help="How large.", show_default=False)],
    format_: Annotated[VolumeFormat, typer.Option("--format", help="How it is kept.")] = VolumeFormat.QCOW2,
) -> None:
    """Make an empty volume."""
    wanted = volume_pb2.Volume(display_name=name, size_gib=size, format=format_.value)
    request = volume_pb2.CreateVolumeRequest(volume=wanted, volume_id=str(uuid.uuid4()))
    _say(session, await api.call(api.volumes.CreateVolume, request), "created")


@command(app, "list")
async def list_(session: Session, api: Api, filter_: Filter = "", limit: Limit = 0) -> None:
    """Volumes, oldest first. Filter fields: display_name, instance."""
    answer = await api.every(api.volumes.ListVolumes, volume_pb2.ListVolumesRequest(filter=filter_), limit)
    if session.as_json:
        messages.show(answer)
        return
    columns = (
        Column("NAME", lambda v: v.display_name),
        Column("SIZE", lambda v: f"{v.size_gib} GiB", importance=6, right=True),
        Column("FORMAT", lambda v: v.format, importance=3),
        Column("ATTACHED TO", _place, importance=5),
        Column("AGE", lambda v: words.age(v.create_time, time.time()), importance=1),
        Column("ID", lambda v: v.uid, importance=8),
    )
    tables.show(columns, answer.volumes, "no volumes; `protostar volume create NAME --size GIB` makes one")


@command(app, "show")
async def show(session: Session, api: Api, volume: VolumeArgument) -> None:
    """Everything about one volume."""
    name = await resolve.name_of(api, resolve.VOLUME, volume)
    found = await api.call(api.volumes.GetVolume, volume_pb2.GetVolumeRequest(name=name))
    if session.as_json:
        messages.show(found)
        return
    tables.show_fields(
        (
            ("name", found.display_name),
            ("id", found.uid),
            ("size", f"{found.size_gib} GiB"),
            ("format", found.format),
            ("attached to", _place(found)),
            ("project", found.project),
            ("created", words.moment(found.create_time)),
        )
    )


@command(app, "delete")
async def delete(session: Session, api: Api, volume: VolumeArgument) -> None:
    """Remove a volume and everything on it."""
    name = await resolve.name_of(api, resolve.VOLUME, volume)
    answer = await api.call(api.volumes.DeleteVolume, volume_pb2.DeleteVolumeRequest(name=name))
    if session.as_json:
        messages.show(answer)
    else:
        terminal.say(("✓ ", "good"), f"{volume} deleted")


@command(app, "attach")
async def attach(
    session: Session,
    api: Api,
    volume: VolumeArgument,
    instance: InstanceArgument,
    device: Annotated[str, typer.Option(help="vdc, for example; chosen by default.", show_default=False)] = "",
) -> None:
    """Attach a volume to a stopped instance; the guest has it from its next start."""
    request = volume_pb2.AttachVolumeRequest(
        name=await resolve.name_of(api, resolve.VOLUME, volume),
        instance=await resolve.name_of(api, resolve.INSTANCE, instance),
        device=device,
    )
    _say(session, await api.call(api.volumes.AttachVolume, request), f"attached to {instance}")


@command(app, "detach")
async def detach(session: Session, api: Api, volume: VolumeArgument) -> None:
    """Take a volume from its stopped instance."""
    name = await resolve.name_of(api, resolve.VOLUME, volume)
    _say(session, await api.call(api.volumes.DetachVolume, volume_pb2.DetachVolumeRequest(name=name)), "detached")


def _say(session: Session, volume: volume_pb2.Volume, how: str) -> None:
    if session.as_json:
        messages.show(volume)
    else:
        terminal.say(("✓ ", "good"), f"{volume.display_name} {how}, {volume.uid}")


def _place(volume: volume_pb2.Volume) -> str:
    if not volume.HasField("attachment"):
        return ""
    return " ".join(filter(None, (words.uid(volume.attachment.instance), volume.attachment.device)))
