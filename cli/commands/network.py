"""protostar network …"""

from __future__ import annotations

import time
import uuid
from enum import StrEnum
from typing import Annotated

import typer
from protostar.api.v1 import network_pb2

from cli.client import resolve
from cli.client.api import Api
from cli.command import command
from cli.commands.arguments import Filter, Limit, NetworkArgument, NewName
from cli.present import messages, tables, terminal, words
from cli.present.tables import Column
from cli.session import Session

app = typer.Typer(no_args_is_help=True, help="Networks and their subnets.")


class NetworkKind(StrEnum):
    """How a network reaches a guest."""

    USER = "user"
    BRIDGE = "bridge"
    LIBVIRT = "libvirt"


@command(app, "create")
async def create(
    session: Session,
    api: Api,
    name: NewName,
    subnet: Annotated[
        list[str], typer.Option(metavar="CIDR", help="For example 10.64.0.0/12; again for more.", show_default=False)
    ],
    kind: Annotated[NetworkKind, typer.Option(help="How it reaches a guest.")] = NetworkKind.USER,
    bridge: Annotated[str, typer.Option(help="The host's bridge, for --kind bridge.", show_default=False)] = "",
    libvirt_network: Annotated[str, typer.Option(help="Its name, for --kind libvirt.", show_default=False)] = "",
    gateway: Annotated[str, typer.Option(metavar="IP", help="Of the first subnet.", show_default=False)] = "",
    dns: Annotated[
        list[str] | None, typer.Option(metavar="IP", help="Name server; again for more.", show_default=False)
    ] = None,
    first: Annotated[str, typer.Option(metavar="IP", help="First address to hand out.", show_default=False)] = "",
    last: Annotated[str, typer.Option(metavar="IP", help="Last address to hand out.", show_default=False)] = "",
    mtu: Annotated[int, typer.Option(min=0, max=9216, help="Bytes; 0 is 1500.")] = 0,
) -> None:
    """Make a network."""
    subnets = [network_pb2.Subnet(cidr=cidr, dns=dns) for cidr in subnet]
    subnets[0].MergeFrom(network_pb2.Subnet(gateway=gateway, first_address=first, last_address=last))
    wanted = network_pb2.Network(
        display_name=name,
        kind=network_pb2.NetworkKind.Value(f"NETWORK_KIND_{kind.name}"),
        bridge=bridge,
        libvirt_network=libvirt_network,
        mtu=mtu,
        subnets=subnets,
    )
    request = network_pb2.CreateNetworkRequest(network=wanted, network_id=str(uuid.uuid4()))
    made = await api.call(api.networks.CreateNetwork, request)
    if session.as_json:
        messages.show(made)
    else:
        terminal.say(("✓ ", "good"), f"{made.display_name} created, {made.uid}")


@command(app, "list")
async def list_(session: Session, api: Api, filter_: Filter = "", limit: Limit = 0) -> None:
    """Networks, oldest first. Filter field: display_name."""
    answer = await api.every(api.networks.ListNetworks, network_pb2.ListNetworksRequest(filter=filter_), limit)
    if session.as_json:
        messages.show(answer)
        return
    columns = (
        Column("NAME", lambda n: n.display_name),
        Column("KIND", _kind, importance=6),
        Column("SUBNETS", lambda n: ", ".join(subnet.cidr for subnet in n.subnets), importance=7),
        Column("AGE", lambda n: words.age(n.create_time, time.time()), importance=1),
        Column("ID", lambda n: n.uid, importance=8),
    )
    tables.show(columns, answer.networks, "no networks; `protostar network create NAME --subnet CIDR` makes one")


@command(app, "show")
async def show(session: Session, api: Api, network: NetworkArgument) -> None:
    """Everything about one network."""
    name = await resolve.name_of(api, resolve.NETWORK, network)
    found = await api.call(api.networks.GetNetwork, network_pb2.GetNetworkRequest(name=name))
    if session.as_json:
        messages.show(found)
        return
    tables.show_fields(
        (
            ("name", found.display_name),
            ("id", found.uid),
            ("kind", _kind(found)),
            ("mtu", str(found.mtu or "")),
            ("subnets", "\n".join(_subnet(subnet) for subnet in found.subnets)),
            ("project", found.project or "everybody's"),
            ("created", words.moment(found.create_time)),
        )
    )


@command(app, "delete")
async def delete(session: Session, api: Api, network: NetworkArgument) -> None:
    """Remove a network that has no ports."""
    name = await resolve.name_of(api, resolve.NETWORK, network)
    answer = await api.call(api.networks.DeleteNetwork, network_pb2.DeleteNetworkRequest(name=name))
    if session.as_json:
        messages.show(answer)
    else:
        terminal.say(("✓ ", "good"), f"{network} deleted")


def _kind(network: network_pb2.Network) -> str:
    return " ".join(filter(None, (words.enum(network, "kind").lower(), network.bridge, network.libvirt_network)))


def _subnet(subnet: network_pb2.Subnet) -> str:
    parts = [subnet.cidr]
    for value, word in ((subnet.gateway, "gateway"), (", ".join(subnet.dns), "dns")):
        if value:
            parts.append(f"{word} {value}")
    if subnet.first_address or subnet.last_address:
        parts.append(f"hands out {subnet.first_address or '…'} to {subnet.last_address or '…'}")
    return ", ".join(parts)
