"""protostar host …"""

from __future__ import annotations

import time

import typer
from protostar.api.v1 import host_pb2

from cli.client.api import Api
from cli.command import command
from cli.commands.arguments import Limit
from cli.present import messages, tables, words
from cli.present.tables import Column, state
from cli.session import Session

app = typer.Typer(no_args_is_help=True, help="Hosts: where instances run.")


@command(app, "list")
async def list_(session: Session, api: Api, limit: Limit = 0) -> None:
    """The hosts, what they are and what is promised on them."""
    answer = await api.every(api.hosts.ListHosts, host_pb2.ListHostsRequest(), limit)
    if session.as_json:
        messages.show(answer)
        return
    columns = (
        Column("NAME", lambda h: words.uid(h.name)),
        Column("STATE", lambda h: state(words.enum(h, "state")), importance=8),
        Column("GUESTS RUN UNDER", _engine, importance=6),
        Column("INSTANCES", lambda h: str(h.instances), importance=7, right=True),
        Column("VCPUS", lambda h: f"{h.vcpus_used}/{h.vcpus}", importance=5, right=True),
        Column("MEMORY MIB", lambda h: f"{h.memory_mib_used}/{h.memory_mib}", importance=4, right=True),
        Column("HEARD OF", lambda h: words.age(h.last_seen, time.time()), importance=2),
        Column("CONNECTION", lambda h: h.connection, importance=1),
    )
    tables.show(columns, answer.hosts, "no hosts; `protostar status` tells whether compute_svc runs")


def _engine(host: host_pb2.Host) -> str:
    libvirt = f"libvirt {host.libvirt_version}" if host.libvirt_version else ""
    return ", ".join(filter(None, (f"{host.domain_type} {host.hypervisor_version}".strip(), libvirt, host.arch)))
