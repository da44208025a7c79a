"""The steps of each verb, and how one stands. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from compute_svc.domain.failure import Failure


class Verb(StrEnum):
    """What is done to a guest; part of the failpoints' names."""

    START = "start"
    STOP = "stop"
    REBOOT = "reboot"
    DELETE = "delete"


# A start. `undefine` stands behind `xml`, unlike in Nova: only the finished XML says whether the definition changes,
# and a crash or a slow image then never meets an instance that libvirt does not know.
START = (
    "claim",
    "network_info",
    "block_device_info",
    "destroy",
    "instance_dir",
    "disk_info",
    "backing",
    "config_drive",
    "xml",
    "undefine",
    "define",
    "launch",
    "running",
)
# A soft reboot; one that becomes hard goes on with `destroy` and all that follows it in START.
SOFT_REBOOT = ("claim", "network_info", "block_device_info", "shutdown", "launch", "running")
STOP = ("claim", "shutdown", "destroy")
DELETE = ("claim", "destroy", "undefine", "disks", "instance_dir")

# Steps that change nothing: they need not be told of when an operation that failed says what it had done.
READING = frozenset({"claim", "network_info", "block_device_info", "disk_info", "xml", "running"})


class StepState(StrEnum):
    """Where a step stands; names are those of protostar.api.v1.StepState without its prefix."""

    RUNNING = "RUNNING"
    DONE = "DONE"
    SKIPPED = "SKIPPED"
    FAILED = "FAILED"
    UNDONE = "UNDONE"


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step as it stands; `attempt` is api_svc's in which it last ran."""

    name: str
    state: StepState
    attempt: int
    started_at: datetime
    ended_at: datetime | None = None
    detail: str = ""
    failure: Failure | None = None
