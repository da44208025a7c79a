"""protostar image …"""

from __future__ import annotations

import time
import uuid
from pathlib import Path
from typing import Annotated

import typer
from protostar.api.v1 import image_pb2

from cli.client import resolve
from cli.client.api import Api
from cli.command import command
from cli.commands.arguments import DryRun, Filter, ImageArgument, Limit, NewName, Wait, pairs
from cli.commands.conclude import conclude
from cli.present import messages, tables, terminal, words
from cli.present.tables import Column
from cli.session import Session

app = typer.Typer(no_args_is_help=True, help="Images: what root disks are made from.")


@command(app, "import")
async def import_(
    session: Session,
    api: Api,
    name: NewName,
    source: Annotated[
        str,
        typer.Argument(metavar="SOURCE", help="A path on the image host, or an http(s) address.", show_default=False),
    ],
    format_: Annotated[
        str, typer.Option("--format", help="qcow2, raw or iso; found out by default.", show_default=False)
    ] = "",
    sha256: Annotated[str, typer.Option(help="The SHA-256 that the file must have.", show_default=False)] = "",
    property_: Annotated[
        list[str] | None,
        typer.Option(
            "--property", metavar="KEY=VALUE", help="As Nova knows them: hw_disk_bus=virtio.", show_default=False
        ),
    ] = None,
    min_disk: Annotated[int, typer.Option(metavar="GIB", min=0, help="Smallest root disk.")] = 0,
    min_memory: Annotated[int, typer.Option(metavar="MIB", min=0, help="Smallest memory.")] = 0,
    dry_run: DryRun = False,
    wait: Wait = True,
) -> None:
    """Bring an image in, check it and add it to the catalogue."""
    wanted = image_pb2.Image(
        display_name=name,
        disk_format=format_,
        min_disk_gib=min_disk,
        min_memory_mib=min_memory,
        properties=pairs(property_ or (), "--property"),
    )
    request = image_pb2.ImportImageRequest(
        image=wanted, source=_source(source), sha256=sha256.lower(), request_id=str(uuid.uuid4()), validate_only=dry_run
    )
    operation = await api.call(api.images.ImportImage, request)
    await conclude(api, session, operation, headline=f"Importing {name}", called=name, wait=wait)


@command(app, "list")
async def list_(session: Session, api: Api, filter_: Filter = "", limit: Limit = 0) -> None:
    """The catalogue, oldest first. Filter fields: display_name, disk_format."""
    answer = await api.every(api.images.ListImages, image_pb2.ListImagesRequest(filter=filter_), limit)
    if session.as_json:
        messages.show(answer)
        return
    columns = (
        Column("NAME", lambda i: i.display_name),
        Column("FORMAT", lambda i: i.disk_format, importance=5),
        Column("FILE", lambda i: words.size(i.size_bytes), importance=4, right=True),
        Column("DISK", lambda i: words.size(i.virtual_size_bytes), importance=6, right=True),
        Column("AGE", lambda i: words.age(i.create_time, time.time()), importance=1),
        Column("ID", lambda i: i.uid, importance=8),
    )
    tables.show(columns, answer.images, "no images; `protostar image import NAME PATH` adds one")


@command(app, "show")
async def show(session: Session, api: Api, image: ImageArgument) -> None:
    """Everything about one image."""
    name = await resolve.name_of(api, resolve.IMAGE, image)
    found = await api.call(api.images.GetImage, image_pb2.GetImageRequest(name=name))
    if session.as_json:
        messages.show(found)
        return
    tables.show_fields(
        (
            ("name", found.display_name),
            ("id", found.uid),
            ("format", found.disk_format),
            ("file", words.size(found.size_bytes)),
            ("disk", words.size(found.virtual_size_bytes)),
            ("sha256", found.sha256),
            ("smallest disk", f"{found.min_disk_gib} GiB" if found.min_disk_gib else ""),
            ("smallest memory", f"{found.min_memory_mib} MiB" if found.min_memory_mib else ""),
            ("properties", "\n".join(f"{key}={value}" for key, value in sorted(found.properties.items()))),
            ("imported", words.moment(found.create_time)),
        )
    )


@command(app, "delete")
async def delete(session: Session, api: Api, image: ImageArgument) -> None:
    """Take an image out of the catalogue; instances made from it stay as they are."""
    name = await resolve.name_of(api, resolve.IMAGE, image)
    answer = await api.call(api.images.DeleteImage, image_pb2.DeleteImageRequest(name=name))
    if session.as_json:
        messages.show(answer)
    else:
        terminal.say(("✓ ", "good"), f"{image} deleted")


def _source(text: str) -> str:
    """An address as it is; a path as the image host, which is this one as a rule, finds it."""
    return text if text.startswith(("http://", "https://")) else str(Path(text).expanduser().absolute())
