"""protostar doctor"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from typing import Any

from cli.diagnosis import findings, machine, packages, place
from cli.diagnosis.findings import Finding, State
from cli.failure import CommandFailed
from cli.present import messages, terminal
from cli.session import Session
from cli.startup import readiness
from cli.supervisor import lock
from svckit import defaults

_MARKS = {State.OK: ("✓", "good"), State.WARNING: ("!", "busy"), State.MISSING: ("✗", "bad")}
_ADDRESSES = {
    "api": defaults.API_ADDRESS,
    "compute": defaults.COMPUTE_ADDRESS,
    "image": defaults.IMAGE_ADDRESS,
    "netblock": defaults.NETBLOCK_ADDRESS,
}


def doctor(session: Session) -> None:
    """Tell what is missing on this machine and the command that fixes it; 1 when something is."""
    parts: Mapping[str, Sequence[Finding]] = {
        "Machine": list(machine.look(os.environ.get("PROTOSTAR_LIBVIRT_URI", ""))),
        "Place": list(place.data_dir(session.data_dir)),
        "Services": _services(session),
    }
    found = [finding for part in parts.values() for finding in part]
    fixes = findings.commands(found, packages.not_installed(), root=os.geteuid() == 0)
    if session.as_json:
        messages.show_json({"ok": findings.is_well(found), "checks": [_as_json(f) for f in found], "fix": fixes})
    else:
        _show(parts, fixes)
    if not findings.is_well(found):
        raise CommandFailed("something is missing")


def _services(session: Session) -> list[Finding]:
    """How the services are when they run; whether they could listen when they do not."""
    holder = lock.holder(session.data_dir)
    if holder is None:
        wanted = {name: os.environ.get(f"PROTOSTAR_{name.upper()}_ADDRESS", at) for name, at in _ADDRESSES.items()}
        return list(place.addresses(wanted))
    health = asyncio.run(readiness.health(holder.get("addresses", {})))
    return [_health(session, name, word) for name, word in health.items()]


def _health(session: Session, name: str, word: str) -> Finding:
    if word == "SERVING":
        return findings.good(name, "serving")
    return findings.missing(name, word.lower().replace("_", " "), fix=f"tail {session.data_dir}/logs/{name}.log")


def _show(parts: Mapping[str, Sequence[Finding]], fixes: Sequence[str]) -> None:
    for title, part in parts.items():
        terminal.say((title, "bold"))
        for finding in part:
            name = f" {finding.name:<22} "
            detail = (finding.detail, "quiet") if finding.state is State.OK else finding.detail
            terminal.say("  ", _MARKS[finding.state], name, detail)
            if finding.state is State.WARNING and finding.fix:
                terminal.say(" " * 26, (finding.fix, "command"))
    if fixes:
        terminal.say(("\nTo fix it", "bold"))
    for command in fixes:
        terminal.say("  ", (command, "command"))
    if not fixes:
        terminal.say(("\nNothing is missing.", "good"))


def _as_json(finding: Finding) -> dict[str, Any]:
    return {"name": finding.name, "state": finding.state.value, "detail": finding.detail, "fix": finding.fix}
