"""Where a service can be made to stand still or die: every failpoint there is, and those that each verb passes.

`known` is read from the code; `passed` is the matrix. A test holds the one against the other in both directions, so
that a point that was renamed, or one that nobody kills at, is noticed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import StrEnum

from compute_svc.domain import steps
from tests.stack import ROOT, SERVICES

_NAMED = re.compile(r'failpoint\(\s*"([a-z_]+\.[a-z_.]+)"')
_STEP = re.compile(r'\.step\("(\w+)"\)')
_TAKES_BACK = re.compile(r'step: Literal\["(\w+)"\]')


class Verb(StrEnum):
    """What a client asks for. A plain stop is forced, and a plain reboot hard."""

    CREATE = "create"
    START = "start"
    STOP = "stop"
    GRACEFUL_STOP = "graceful_stop"
    REBOOT = "reboot"
    SOFT_REBOOT = "soft_reboot"
    DELETE = "delete"


# compute_svc's name of the work, and the steps in which something is changed and not yet known to be.
_WORK: dict[Verb, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    Verb.CREATE: (
        "start",
        steps.START,
        ("claim", "instance_dir", "backing", "config_drive", "define", "launch"),
    ),
    Verb.START: ("start", steps.START, ("claim", "backing", "config_drive", "undefine", "define", "launch")),
    Verb.STOP: ("stop", ("claim", "destroy"), ("claim", "destroy")),
    Verb.GRACEFUL_STOP: ("stop", ("shutdown",), ("shutdown",)),
    Verb.REBOOT: (
        "reboot",
        steps.START,
        ("claim", "destroy", "backing", "config_drive", "undefine", "define", "launch"),
    ),
    Verb.SOFT_REBOOT: ("reboot", ("shutdown",), ("shutdown",)),
    Verb.DELETE: ("delete", steps.DELETE, ("claim", "destroy", "undefine", "disks", "instance_dir")),
}

_OF_API = (
    "api.accept.after_commit",
    "api.dispatch.before_call",
    "api.dispatch.after_call",
    "api.finish.after_commit",
    "api.finish.before_commit",
)
_OF_IMAGE: dict[Verb, tuple[str, ...]] = {
    Verb.CREATE: (
        "image.ensure_disks.disk.before_publish",
        "image.ensure_disks.disk.after_publish",
        "image.build_config_drive.before_write",
    ),
    Verb.START: ("image.build_config_drive.before_write",),
    Verb.DELETE: ("image.remove_disks.before",),
}
_OF_NETBLOCK: dict[Verb, tuple[str, ...]] = {
    Verb.CREATE: ("netblock.bind_instance.before", "netblock.bind_instance.after"),
    Verb.DELETE: ("netblock.release_instance.before", "netblock.release_instance.after"),
}
# It holds a transaction, and SQLite has one writer: nothing can be accepted while it is held.
BLOCKING = frozenset({"api.finish.before_commit"})


def _of_compute(verb: Verb) -> Iterator[str]:
    work, names, acting = _WORK[verb]
    for name in names:
        yield f"compute.{work}.{name}.before"
        if name in acting:
            yield f"compute.{work}.{name}.inside"
        yield f"compute.{work}.{name}.after"


def passed(verb: Verb) -> list[str]:
    """The points that an instance passes when this is done to it, those that block the others last."""
    points = [*_of_compute(verb), *_OF_IMAGE.get(verb, ()), *_OF_NETBLOCK.get(verb, ()), *_OF_API]
    return sorted(points, key=lambda point: point in BLOCKING)


def known() -> set[str]:
    """Every point in the code."""
    named = {name for service in SERVICES for name in _named(service)}
    return named | set(_of_steps()) | set(_of_undoing())


def _named(service: str) -> Iterator[str]:
    for path in (ROOT / service).rglob("*.py"):
        yield from _NAMED.findall(path.read_text())


def _of_steps() -> Iterator[str]:
    """compute_svc makes its names from verb and step: those of the steps that its code really has."""
    tables = {"start": steps.START, "stop": steps.STOP, "delete": steps.DELETE}
    tables["reboot"] = (*steps.START, *steps.SOFT_REBOOT)
    begun, acting = _steps_in_code()
    for verb in steps.Verb:
        for name in begun.intersection(tables[verb.value]):
            yield from (f"compute.{verb}.{name}.{place}" for place in ("before", "after"))
            if name in acting:
                yield f"compute.{verb}.{name}.inside"


def _steps_in_code() -> tuple[set[str], set[str]]:
    """Steps that are begun somewhere, and those of them that say when they have acted."""
    begun, acting = set(), set()
    for path in (ROOT / "compute_svc/usecases").glob("*.py"):
        _, *parts = re.split(r"(?=async with [^\n]*\.step\()", path.read_text())
        for part in parts:
            for name in _STEP.findall(part):
                begun.add(name)
                if ".inside()" in part.split("\nasync def ")[0]:
                    acting.add(name)
    return begun, acting


def _of_undoing() -> Iterator[str]:
    entries = _TAKES_BACK.findall((ROOT / "compute_svc/domain/undo.py").read_text())
    for verb in (steps.Verb.START, steps.Verb.REBOOT):
        yield from (f"compute.{verb}.{step}.undo" for step in entries)
