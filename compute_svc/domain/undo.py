"""What takes back a step that was done: as data, so that it can be done after a crash as well. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class RemoveFolder:
    """There was no instance folder."""

    kind: Literal["remove_folder"] = "remove_folder"
    step: Literal["instance_dir"] = "instance_dir"


@dataclass(frozen=True, kw_only=True)
class RemoveDisks:
    """These disks were not there."""

    kind: Literal["remove_disks"] = "remove_disks"
    step: Literal["backing"] = "backing"
    names: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class RestoreConfigDrive:
    """The config drive was another, kept aside; or there was none."""

    kind: Literal["restore_config_drive"] = "restore_config_drive"
    step: Literal["config_drive"] = "config_drive"


@dataclass(frozen=True, kw_only=True)
class RestoreDefinition:
    """What was defined; None for nothing. `first` when no guest of this instance had ever booted."""

    kind: Literal["restore_definition"] = "restore_definition"
    step: Literal["define"] = "define"
    xml: str | None
    first: bool = False


@dataclass(frozen=True, kw_only=True)
class DestroyGuest:
    """It was off."""

    kind: Literal["destroy_guest"] = "destroy_guest"
    step: Literal["launch"] = "launch"


Undo = RemoveFolder | RemoveDisks | RestoreConfigDrive | RestoreDefinition | DestroyGuest


def push(stack: tuple[Undo, ...], entry: Undo) -> tuple[Undo, ...]:
    """Add what would be undone last-in, first-out.

    The first entry of a kind stays: a step that is taken up again after a crash finds its own traces, and only what it
    found the first time is how things were.
    """
    return stack if any(known.kind == entry.kind for known in stack) else (*stack, entry)
