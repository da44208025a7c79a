"""How a command is declared: its own options, and those that every command has, before or after its name.

A command is a plain function that takes a Session, or a coroutine function that also takes a connected Api. It raises
`svckit.errors`; how these look and which exit code they give is decided here, once.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.client.api import Api, connected
from cli.failure import CommandFailed
from cli.present import errors
from cli.session import Session, open_session
from svckit import tracing
from svckit.errors import ProtostarError

INTERRUPTED = 130


@dataclass(frozen=True)
class _Common:
    """An option of every command; the environment counts where the option is given nowhere."""

    name: str
    kind: Any
    default: Any
    help: str
    variable: str | None = None
    metavar: str | None = None

    def parameter(self, *, at_root: bool) -> inspect.Parameter:
        option = typer.Option(
            "--" + self.name.strip("_").replace("_", "-"),
            help=self.help,
            envvar=self.variable if at_root else None,
            metavar=self.metavar,
            rich_help_panel="Everywhere",
        )
        annotation = Annotated[self.kind, option]  # type: ignore[name-defined]  # a type known only when run
        return inspect.Parameter(self.name, inspect.Parameter.KEYWORD_ONLY, default=self.default, annotation=annotation)


_COMMON = (
    _Common("json_", bool, False, "Answer in JSON."),
    _Common("data_dir", Path | None, None, "Where Protostar of this machine keeps everything.", "PROTOSTAR_DATA_DIR"),
    _Common("api_address", str | None, None, "Where the API answers.", "PROTOSTAR_API_ADDRESS", "HOST:PORT"),
    _Common("user", str | None, None, "Act as this user.", "PROTOSTAR_USER", "NAME"),
    _Common("project", str | None, None, "Act in this project.", "PROTOSTAR_PROJECT", "NAME"),
    _Common("roles", str | None, None, "Act with these roles, comma-separated.", "PROTOSTAR_ROLES", "NAMES"),
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"protostar {metadata.version('protostar')}")
        raise typer.Exit


_VERSION = inspect.Parameter(
    "version",
    inspect.Parameter.KEYWORD_ONLY,
    default=False,
    annotation=Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True)
    ],
)


def root(app: typer.Typer, function: Callable[[], None]) -> None:
    """Give an application the common options, before the name of a command; `function` has its help."""

    def remember(*, context: typer.Context, **values: Any) -> None:
        context.obj = values

    app.callback(help=function.__doc__)(_with_signature(remember, [_VERSION], at_root=True))


def command(app: typer.Typer, name: str, **settings: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Declare a command of an application; `settings` are typer's."""

    def declare(function: Callable[..., Any]) -> Callable[..., Any]:
        parameters = inspect.signature(function, eval_str=True).parameters.values()
        own = [parameter for parameter in parameters if parameter.annotation not in (Session, Api)]

        @functools.wraps(function)
        def run(*, context: typer.Context, **values: Any) -> None:
            session = session_of(context, values)
            called = {name: value for name, value in values.items() if isinstance(value, str)}
            _answer(session, context.command_path, called, functools.partial(function, **values))

        app.command(name, **settings)(_with_signature(run, own, at_root=False))
        return function

    return declare


def session_of(context: typer.Context, values: dict[str, Any]) -> Session:
    """The session of a command's options, which are taken out of `values`, and of those before its name."""
    before = context.find_root().obj or {}
    given = {common.name: values.pop(common.name, None) or before.get(common.name) for common in _COMMON}
    return open_session(
        data_dir=given["data_dir"],
        api_address=given["api_address"],
        user=given["user"] or "",
        project=given["project"] or "",
        roles=given["roles"] or "",
        as_json=bool(given["json_"]),
    )


def _with_signature(function: Any, own: list[inspect.Parameter], *, at_root: bool) -> Any:
    """Have typer see these parameters; it looks at a function's signature and at its annotations."""
    context = inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
    ours = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own]
    parameters = [context, *ours, *(common.parameter(at_root=at_root) for common in _COMMON)]
    function.__signature__ = inspect.Signature(parameters)
    function.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return function


def _answer(session: Session, path: str, called: Mapping[str, str], function: Callable[..., Any]) -> None:
    """Run a command and end the process's work as its outcome demands; `called` is what the user named."""
    try:
        if inspect.iscoroutinefunction(function.func):  # type: ignore[attr-defined]
            asyncio.run(_traced(session, path, function))
        else:
            function(session=session)
    except ProtostarError as error:
        errors.show(error, session, called)
        raise typer.Exit(1) from None
    except CommandFailed:
        raise typer.Exit(1) from None
    except (KeyboardInterrupt, asyncio.CancelledError):
        if sys.stderr.isatty():
            print(file=sys.stderr)  # the prompt is not to follow ^C
        raise typer.Exit(INTERRUPTED) from None
    finally:
        tracing.flush()


async def _traced(session: Session, path: str, function: Callable[..., Any]) -> None:
    """Run a command that talks to the API, as the root of a trace."""
    _keep_spans(session.traces_dir)
    with tracing.span(path):
        async with connected(session) as api:
            await function(session=session, api=api)


def _keep_spans(folder: Path) -> None:
    """Our own spans go where those of the services of this machine are; nowhere, when there are none or we may not."""
    if not os.access(folder, os.W_OK):
        os.environ.setdefault("OTEL_TRACES_EXPORTER", "none")
    tracing.configure("cli", folder)


def main(app: typer.Typer) -> None:
    """Run the application; nobody who types a command ever sees a traceback, unless PROTOSTAR_DEBUG is set."""
    try:
        app(prog_name="protostar")
    except BrokenPipeError:  # the reader, `head` for example, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:
        if os.environ.get("PROTOSTAR_DEBUG"):
            raise
        errors.show_bug(error)
        sys.exit(1)
