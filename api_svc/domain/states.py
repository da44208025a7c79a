"""The words for where things stand. Three clocks are kept apart: vm_state, task_state, power_state (Nova's names)."""

from __future__ import annotations

from enum import StrEnum


class VmState(StrEnum):
    """What the user can rely on. Changed only by finished operations and by the policies for the unexpected."""

    BUILDING = "BUILDING"
    ACTIVE = "ACTIVE"
    STOPPED = "STOPPED"
    PAUSED = "PAUSED"
    SUSPENDED = "SUSPENDED"
    RESCUED = "RESCUED"
    RESIZED = "RESIZED"
    SOFT_DELETED = "SOFT_DELETED"
    DELETED = "DELETED"
    ERROR = "ERROR"
    SHELVED = "SHELVED"
    SHELVED_OFFLOADED = "SHELVED_OFFLOADED"


class TaskState(StrEnum):
    """What is being done right now."""

    NONE = "NONE"
    SPAWNING = "SPAWNING"
    POWERING_ON = "POWERING_ON"
    POWERING_OFF = "POWERING_OFF"
    REBOOTING = "REBOOTING"
    REBOOTING_HARD = "REBOOTING_HARD"
    DELETING = "DELETING"


class PowerState(StrEnum):
    """What the hypervisor last said. UNKNOWN is not off."""

    UNKNOWN = "UNKNOWN"
    NO_STATE = "NO_STATE"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    SHUTDOWN = "SHUTDOWN"
    CRASHED = "CRASHED"
    SUSPENDED = "SUSPENDED"


OFF = frozenset({PowerState.NO_STATE, PowerState.SHUTDOWN, PowerState.CRASHED})


class Verb(StrEnum):
    """What a caller asked for. The last three answer at once; they are recorded only for their request id."""

    CREATE = "CREATE"
    DELETE = "DELETE"
    START = "START"
    STOP = "STOP"
    REBOOT = "REBOOT"
    IMPORT_IMAGE = "IMPORT_IMAGE"
    UPDATE = "UPDATE"
    LOCK = "LOCK"
    UNLOCK = "UNLOCK"


LONG_RUNNING = (Verb.CREATE, Verb.DELETE, Verb.START, Verb.STOP, Verb.REBOOT, Verb.IMPORT_IMAGE)


class OperationState(StrEnum):
    """Where an operation stands; the last four are final."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    SUPERSEDED = "SUPERSEDED"


OPEN = (OperationState.QUEUED, OperationState.RUNNING)


class StepState(StrEnum):
    """Where a step stands."""

    PLANNED = "PLANNED"
    RUNNING = "RUNNING"
    DONE = "DONE"
    SKIPPED = "SKIPPED"
    FAILED = "FAILED"
    UNDONE = "UNDONE"


class StopMode(StrEnum):
    """How to stop a guest."""

    GRACEFUL = "GRACEFUL"
    FORCE = "FORCE"


class StopOutcome(StrEnum):
    """How a guest came to be off."""

    GUEST_STOPPED = "GUEST_STOPPED"
    KILLED = "KILLED"
    ALREADY_OFF = "ALREADY_OFF"


class RebootMode(StrEnum):
    """How to reboot a guest."""

    SOFT = "SOFT"
    HARD = "HARD"


class OnConflict(StrEnum):
    """What to do when an instance is already there, or busy."""

    REJECT = "REJECT"
    JOIN = "JOIN"


class HostState(StrEnum):
    """Whether a host answers. The guests of a silent one may well be running."""

    UP = "UP"
    SILENT = "SILENT"


class HostBootPolicy(StrEnum):
    """After the host itself booted."""

    RESUME = "RESUME"
    STAY_OFF = "STAY_OFF"


class UnexpectedStopPolicy(StrEnum):
    """The guest of an ACTIVE instance is found off."""

    MARK = "MARK"
    RESTART = "RESTART"
    IGNORE = "IGNORE"


class UnexpectedStartPolicy(StrEnum):
    """The guest of a STOPPED instance is found running."""

    ADOPT = "ADOPT"
    KILL = "KILL"
    IGNORE = "IGNORE"


class WaitingFor(StrEnum):
    """Why an operation does not move."""

    NOTHING = ""
    HOST = "HOST"
    IMAGE_SERVICE = "IMAGE_SERVICE"
    NETBLOCK_SERVICE = "NETBLOCK_SERVICE"
    DISPATCH = "DISPATCH"
    RETRY = "RETRY"
    CANCEL = "CANCEL"
