"""protostar port …"""

from __future__ import annotations

import uuid
from typing import Annotated

import typer
from protostar.api.v1 import network_pb2

from cli.client import resolve
from cli.client.api import Api
from cli.command import command
from cli.commands.arguments import Filter, Limit, PortArgument, complete_network
from cli.present import messages, tables, terminal, words
from cli.present.tables import Column
from cli.session import Session

app = typer.Typer(no_args_is_help=True, help="Ports: a network interface's address, kept apart from any instance.")


@command(app, "create")
async def create(
    session: Session,
    api: Api,
    network: Annotated[
        str, typer.Option(help="The network it is on.", autocompletion=complete_network, show_default=False)
    ],
    name: Annotated[str, typer.Option(help="What it will be called.", show_default=False)] = "",
    mac: Annotated[str, typer.Option(help="Its MAC address; chosen by default.", show_default=False)] = "",
    ip: Annotated[list[str] | None, typer.Option(help="A fixed IP; chosen by default.", show_default=False)] = None,
) -> None:
    """Make a port: addresses that nobody else can get."""
    wanted = network_pb2.Port(
        display_name=name,
        network=await resolve.name_of(api, resolve.NETWORK, network),
        mac_address=mac.lower(),
        ip_addresses=ip,
    )
    made = await api.call(
        api.networks.CreatePort, network_pb2.CreatePortRequest(port=wanted, port_id=str(uuid.uuid4()))
    )
    if session.as_json:
        messages.show(made)
    else:
        terminal.say(("✓ ", "good"), f"{made.uid} created, {', '.join(made.ip_addresses)}, {made.mac_address}")


@command(app, "list")
async def list_(session: Session, api: Api, filter_: Filter = "", limit: Limit = 0) -> None:
    """Ports, oldest first. Filter fields: network, instance, display_name."""
    answer = await api.every(api.networks.ListPorts, network_pb2.ListPortsRequest(filter=filter_), limit)
    if session.as_json:
        messages.show(answer)
        return
    columns = (
        Column("ADDRESSES", lambda p: ", ".join(p.ip_addresses)),
        Column("MAC", lambda p: p.mac_address, importance=6),
        Column("NAME", lambda p: p.display_name, importance=5),
        Column("INSTANCE", lambda p: words.uid(p.instance), importance=4),
        Column("ID", lambda p: p.uid, importance=8),
    )
    tables.show(columns, answer.ports, "no ports")


@command(app, "show")
async def show(session: Session, api: Api, port: PortArgument) -> None:
    """Everything about one port."""
    name = await resolve.name_of(api, resolve.PORT, port)
    found = await api.call(api.networks.GetPort, network_pb2.GetPortRequest(name=name))
    if session.as_json:
        messages.show(found)
        return
    tables.show_fields(
        (
            ("id", found.uid),
            ("name", found.display_name),
            ("addresses", ", ".join(found.ip_addresses)),
            ("mac", found.mac_address),
            ("network", words.uid(found.network)),
            ("instance", words.uid(found.instance)),
            ("project", found.project),
            ("created", words.moment(found.create_time)),
        )
    )


@command(app, "delete")
async def delete(session: Session, api: Api, port: PortArgument) -> None:
    """Remove a port that no instance uses."""
    name = await resolve.name_of(api, resolve.PORT, port)
    answer = await api.call(api.networks.DeletePort, network_pb2.DeletePortRequest(name=name))
    if session.as_json:
        messages.show(answer)
    else:
        terminal.say(("✓ ", "good"), f"{port} deleted")
