"""protostar up"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.failure import CommandFailed
from cli.present import errors
from cli.session import Session
from cli.startup import run
from cli.startup.startup import NotStarted
from cli.supervisor import plan
from svckit.config import Settings
from svckit.errors import InvalidArgument

_START_SECONDS = 60.0


def up(
    session: Session,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Return once everything serves.")] = False,
    api: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Where api_svc listens.", show_default=False)
    ] = None,
    compute: Annotated[str | None, typer.Option(metavar="HOST:PORT", help="compute_svc.", show_default=False)] = None,
    image: Annotated[str | None, typer.Option(metavar="HOST:PORT", help="image_svc.", show_default=False)] = None,
    netblock: Annotated[str | None, typer.Option(metavar="HOST:PORT", help="netblock_svc.", show_default=False)] = None,
    libvirt_uri: Annotated[
        str | None,
        typer.Option(
            envvar="PROTOSTAR_LIBVIRT_URI", help="qemu:///system or test:///default, for example.", show_default=False
        ),
    ] = None,
    wait: Annotated[float, typer.Option(metavar="SECONDS", min=1, help="How long starting may take.")] = _START_SECONDS,
) -> None:
    """Start the four services on this machine and keep them alive.

    Without --detach it stays in front: Ctrl-C stops the services. Guests run on either way.
    """
    addresses = {"api": api, "compute": compute, "image": image, "netblock": netblock}
    wanted = _plan(session, addresses, libvirt_uri)
    try:
        asyncio.run(run.run(wanted, session, detach=detach, seconds=wait))
    except NotStarted as error:
        errors.show_line(str(error), error.hint, *error.details)
        raise CommandFailed(str(error)) from None


def _plan(session: Session, addresses: dict[str, str | None], libvirt_uri: str | None) -> plan.Plan:
    given: dict[str, Any] = {f"{name}_address": address for name, address in addresses.items() if address}
    try:
        settings = Settings.read(data_dir=session.data_dir, **given)
    except ValueError as error:
        raise InvalidArgument(str(error)) from None
    _check_length(settings.data_dir)
    _check_writable(settings.data_dir)
    known = {name: str(getattr(settings, f"{name}_address")) for name in addresses}
    extra = {"PROTOSTAR_LIBVIRT_URI": libvirt_uri} if libvirt_uri else {}
    return plan.services(settings.data_dir, known, extra, settings.drain_seconds)


def _check_length(data_dir: Path) -> None:
    if len(str(data_dir)) > plan.LONGEST_DATA_DIR:
        raise InvalidArgument(
            f"{data_dir} is too long: QEMU's sockets lie in it, and the path of a socket has at most 107 characters; "
            f"choose a --data-dir of at most {plan.LONGEST_DATA_DIR}",
            reason="DATA_DIR_TOO_LONG",
        )


def _check_writable(data_dir: Path) -> None:
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unusable(data_dir, error.strerror or str(error)) from error
    if not os.access(data_dir, os.W_OK | os.X_OK):
        raise _unusable(data_dir, "it is not yours to write to")


def _unusable(data_dir: Path, why: str) -> InvalidArgument:
    return InvalidArgument(f"{data_dir} cannot be used: {why}; choose another --data-dir", reason="DATA_DIR_UNUSABLE")
