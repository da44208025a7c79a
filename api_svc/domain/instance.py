"""An instance and the values it is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from api_svc.domain.host import Host
from api_svc.domain.states import (
    HostBootPolicy,
    PowerState,
    TaskState,
    UnexpectedStartPolicy,
    UnexpectedStopPolicy,
    VmState,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Flavor:
    """The size of an instance."""

    vcpus: int
    memory_mib: int
    root_gib: int = 0
    ephemeral_gib: int = 0
    swap_mib: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Port:
    """A network interface: as wanted (`port` or `network`), or as bound (all of it). Names, not bare UUIDs."""

    port: str = ""
    network: str = ""
    mac_address: str = ""
    ip_addresses: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Volume:
    """An attached volume, by name, and the device the hypervisor gave it."""

    volume: str
    device: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """What is done when reality changes without a command."""

    on_host_boot: HostBootPolicy = HostBootPolicy.RESUME
    on_unexpected_stop: UnexpectedStopPolicy = UnexpectedStopPolicy.MARK
    on_unexpected_start: UnexpectedStartPolicy = UnexpectedStartPolicy.ADOPT


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """Why the last operation failed. `code` is a google.rpc.Code."""

    code: int
    reason: str
    message: str
    step: str
    operation: str
    time: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Spec:
    """What was asked for at creation, and the image as it was then. Never changes."""

    flavor: Flavor
    image: str
    image_properties: Mapping[str, str] = field(default_factory=dict)
    image_disk_format: str = "qcow2"
    config_drive: bool = False
    ports: tuple[Port, ...] = ()
    volumes: tuple[Volume, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Instance:
    """A virtual machine as the database knows it.

    `generation` counts accepted commands, `applied_generation` is the newest one whose end the host has told us,
    `version` counts changes of any kind and is what every compare-and-swap compares.
    """

    uid: str
    display_name: str
    project: str
    user: str
    spec: Spec
    create_time: datetime
    update_time: datetime
    host: str = ""
    vm_state: VmState = VmState.BUILDING
    task_state: TaskState = TaskState.NONE
    power_state: PowerState = PowerState.UNKNOWN
    power_state_observed_at: datetime | None = None
    ports: tuple[Port, ...] = ()
    volumes: tuple[Volume, ...] = ()
    user_data: bytes = b""
    metadata: Mapping[str, str] = field(default_factory=dict)
    policy: Policy = Policy()
    locked_by: str = ""
    lock_reason: str = ""
    current_operation: str = ""
    fault: Fault | None = None
    generation: int = 0
    applied_generation: int = 0
    version: int = 1
    launch_time: datetime | None = None

    @property
    def name(self) -> str:
        """Resource name."""
        return f"instances/{self.uid}"

    @property
    def etag(self) -> str:
        """Opaque; another one after every change (AIP-154)."""
        return f'"{self.uid[:8]}-{self.version:x}"'

    @property
    def at_rest(self) -> bool:
        """Nothing is being done with it."""
        return self.task_state is TaskState.NONE


@dataclass(frozen=True, kw_only=True, slots=True)
class Placed:
    """An instance and the host it is on; None for the host when it is not placed, or on one that is not known."""

    instance: Instance
    host: Host | None
