"""The command and all its parts."""

from __future__ import annotations

import typer

from cli import command
from cli.commands import (
    doctor,
    host,
    image,
    instance,
    network,
    operation,
    port,
    services,
    trace,
    up,
    volume,
)

app = typer.Typer(
    name="protostar",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _root() -> None:
    """Start, stop and look after virtual machines.

    `protostar up` starts Protostar on this machine, `protostar doctor` tells what the machine lacks for it.
    """


command.root(app, _root)
command.command(app, "up", rich_help_panel="Run")(up.up)
command.command(app, "down", rich_help_panel="Run")(services.down)
command.command(app, "status", rich_help_panel="Run")(services.status)
command.command(app, "doctor", rich_help_panel="Run")(doctor.doctor)
command.command(app, "trace", rich_help_panel="Look and do")(trace.trace)
_NOUNS = (
    ("instance", instance.app),
    ("image", image.app),
    ("network", network.app),
    ("port", port.app),
    ("volume", volume.app),
    ("operation", operation.app),
    ("host", host.app),
)
for name, noun in _NOUNS:
    app.add_typer(noun, name=name, rich_help_panel="Look and do")
