"""protostar instance create"""

from __future__ import annotations

import sys
import uuid
from pathlib import Path
from typing import Annotated

import typer
from protostar.api.v1 import image_pb2, instance_pb2, instance_service_pb2

from cli.client import resolve
from cli.client.api import Api
from cli.commands.arguments import (
    Deadline,
    DryRun,
    NewName,
    Wait,
    complete_image,
    complete_network,
    complete_volume,
    deadline,
    pairs,
)
from cli.commands.conclude import conclude
from cli.session import Session

_SMALLEST_MEMORY_MIB = 256
_USER_DATA_BYTES = 65_535


async def create(
    session: Session,
    api: Api,
    name: NewName,
    image: Annotated[
        str, typer.Option(help="What its root disk is made from.", autocompletion=complete_image, show_default=False)
    ],
    vcpus: Annotated[int, typer.Option(min=1, max=256, help="Virtual CPUs.")] = 1,
    memory: Annotated[
        int | None,
        typer.Option(metavar="MIB", help="Memory; by default 256, or the image's minimum.", show_default=False),
    ] = None,
    root: Annotated[
        int | None,
        typer.Option(metavar="GIB", min=0, help="Root disk; by default the image's size.", show_default=False),
    ] = None,
    ephemeral: Annotated[int, typer.Option(metavar="GIB", min=0, help="An empty disk more.")] = 0,
    swap: Annotated[int, typer.Option(metavar="MIB", min=0, help="A swap disk.")] = 0,
    network: Annotated[
        list[str] | None,
        typer.Option(
            help="A network to be on; again for more. By default `default`.",
            autocompletion=complete_network,
            show_default=False,
        ),
    ] = None,
    port: Annotated[
        list[str] | None, typer.Option(help="An existing port to use; again for more.", show_default=False)
    ] = None,
    no_network: Annotated[bool, typer.Option("--no-network", help="No network interface at all.")] = False,
    volume: Annotated[
        list[str] | None,
        typer.Option(help="A volume to attach; again for more.", autocompletion=complete_volume, show_default=False),
    ] = None,
    metadata: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="For the guest's config drive; again for more.", show_default=False),
    ] = None,
    user_data: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", allow_dash=True, help="Handed to the guest as user_data; - is stdin.", show_default=False
        ),
    ] = None,
    config_drive: Annotated[bool, typer.Option(help="Give the guest a config drive.")] = True,
    deadline_: Deadline = None,
    dry_run: DryRun = False,
    wait: Wait = True,
) -> None:
    """Make an instance and boot it."""
    if no_network and (network or port):
        raise typer.BadParameter("--no-network contradicts --network and --port")
    chosen = await _image(api, image)
    wanted = instance_pb2.Instance(
        display_name=name,
        image=chosen.name,
        flavor=_flavor(chosen, vcpus, memory, root, ephemeral, swap),
        ports=[*await _networks(api, network), *await _ports(api, port)],
        volumes=await _volumes(api, volume),
        metadata=pairs(metadata or (), "--metadata"),
        user_data=_read(user_data),
        config_drive=config_drive,
    )
    request = instance_service_pb2.CreateInstanceRequest(
        instance=wanted,
        request_id=str(uuid.uuid4()),
        validate_only=dry_run,
        deadline=deadline(deadline_),
        without_network=no_network,
    )
    operation = await api.call(api.instances.CreateInstance, request)
    await conclude(api, session, operation, headline=f"Creating {name}", called=name, wait=wait)


def _flavor(
    image: image_pb2.Image, vcpus: int, memory: int | None, root: int | None, ephemeral: int, swap: int
) -> instance_pb2.Flavor:
    return instance_pb2.Flavor(
        vcpus=vcpus,
        memory_mib=max(_SMALLEST_MEMORY_MIB, image.min_memory_mib) if memory is None else memory,
        root_gib=image.min_disk_gib if root is None else root,
        ephemeral_gib=ephemeral,
        swap_mib=swap,
    )


async def _image(api: Api, text: str) -> image_pb2.Image:
    name = await resolve.name_of(api, resolve.IMAGE, text)
    return await api.call(api.images.GetImage, image_pb2.GetImageRequest(name=name))


async def _networks(api: Api, texts: list[str] | None) -> list[instance_pb2.InstancePort]:
    return [
        instance_pb2.InstancePort(network=await resolve.name_of(api, resolve.NETWORK, text)) for text in texts or ()
    ]


async def _ports(api: Api, texts: list[str] | None) -> list[instance_pb2.InstancePort]:
    return [instance_pb2.InstancePort(port=await resolve.name_of(api, resolve.PORT, text)) for text in texts or ()]


async def _volumes(api: Api, texts: list[str] | None) -> list[instance_pb2.InstanceVolume]:
    return [
        instance_pb2.InstanceVolume(volume=await resolve.name_of(api, resolve.VOLUME, text)) for text in texts or ()
    ]


def _read(path: Path | None) -> bytes:
    if path is None:
        return b""
    try:
        content = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
    except OSError as error:
        raise typer.BadParameter(f"{path}: {error.strerror}", param_hint="--user-data") from error
    if len(content) > _USER_DATA_BYTES:
        raise typer.BadParameter(
            f"{path} has {len(content)} bytes, at most are {_USER_DATA_BYTES}", param_hint="--user-data"
        )
    return content
