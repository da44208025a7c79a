"""Whether the volumes of an instance may change, and how it is then.

Only at rest and STOPPED: a guest that runs, or is about to, would go on writing to a volume that somebody else then
gets.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from api_svc.domain import admission, lifecycle
from api_svc.domain.instance import Instance, Volume
from api_svc.domain.policy import Caller
from api_svc.domain.states import VmState


@dataclass(frozen=True, kw_only=True, slots=True)
class Disk:
    """A volume, by uid, and where it is attached: instance "" for nowhere, device "" for the host's choice."""

    uid: str
    instance: str = ""
    device: str = ""

    @property
    def name(self) -> str:
        """Resource name."""
        return f"volumes/{self.uid}"


def check(caller: Caller, instance: Instance, verb: str) -> None:
    """Lock, then vm_state, then task_state; `verb` is for people.

    :raise FailedPrecondition: INSTANCE_LOCKED, INSTANCE_INVALID_STATE.
    :raise Aborted: OPERATION_IN_PROGRESS.
    """
    admission.check_lock(caller, instance)
    if instance.vm_state is not VmState.STOPPED:
        raise lifecycle.invalid_state(instance, verb, "vm_state", instance.vm_state, [VmState.STOPPED])
    if not instance.at_rest:
        raise lifecycle.in_progress(instance)


def shows(instance: Instance, disk: Disk) -> bool:
    """Whether the instance says that it has the volume."""
    return any(volume.volume == disk.name for volume in instance.volumes)


def with_disk(instance: Instance, disk: Disk) -> Instance:
    """The instance with the volume, where it was or at the end."""
    had = Volume(volume=disk.name, device=disk.device)
    if not shows(instance, disk):
        return replace(instance, volumes=(*instance.volumes, had))
    kept = (had if volume.volume == disk.name else volume for volume in instance.volumes)
    return replace(instance, volumes=tuple(kept))


def without_disk(instance: Instance, disk: Disk) -> Instance:
    """The instance without the volume."""
    return replace(instance, volumes=tuple(volume for volume in instance.volumes if volume.volume != disk.name))
