"""Which steps a task has, in the order in which hosts do them: what a validate_only request is answered with."""

from __future__ import annotations

from collections.abc import Mapping

from api_svc.domain.operation import Step
from api_svc.domain.states import StepState, TaskState

BIND = "bind"
RELEASE = "release"

_BOOT = (
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
_STEPS: Mapping[TaskState, tuple[str, ...]] = {
    TaskState.SPAWNING: (BIND, *_BOOT),
    TaskState.POWERING_ON: _BOOT,
    TaskState.POWERING_OFF: ("claim", "shutdown", "destroy"),
    TaskState.REBOOTING: ("claim", "network_info", "block_device_info", "shutdown", "launch", "running"),
    TaskState.REBOOTING_HARD: _BOOT,
    TaskState.DELETING: ("claim", "destroy", "undefine", "disks", "instance_dir", RELEASE),
}
IMPORT = ("fetch", "verify", "inspect", "publish")


def steps_of(task: TaskState) -> tuple[Step, ...]:
    """What would be done, all PLANNED."""
    return planned(_STEPS[task])


def planned(names: tuple[str, ...]) -> tuple[Step, ...]:
    """Steps of these names, all PLANNED."""
    return tuple(Step(name=name, state=StepState.PLANNED) for name in names)
