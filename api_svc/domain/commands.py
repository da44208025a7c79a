"""What callers ask for, as values. Their fields are checked when they are made (`domain.fields`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from api_svc.domain.image import Import
from api_svc.domain.instance import Flavor, Policy, Port, Volume
from api_svc.domain.operation import Parameters
from api_svc.domain.states import OnConflict, TaskState, Verb


@dataclass(frozen=True, kw_only=True, slots=True)
class Envelope:
    """What every mutating request carries. `digest` is the SHA-256 of the whole request."""

    request_id: str = ""
    digest: str = ""
    etag: str = ""
    validate_only: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class InstanceCommand:
    """Start, stop, reboot or delete an instance."""

    uid: str
    verb: Verb
    task: TaskState
    deadline: datetime
    envelope: Envelope = Envelope()
    on_conflict: OnConflict = OnConflict.REJECT
    parameters: Parameters = field(default_factory=Parameters)


@dataclass(frozen=True, kw_only=True, slots=True)
class CreateInstance:
    """Make an instance. `ports` None means the one port on the network "default"."""

    uid: str
    display_name: str
    flavor: Flavor
    image: str
    deadline: datetime
    ports: tuple[Port, ...] = ()
    volumes: tuple[Volume, ...] = ()
    without_network: bool = False
    config_drive: bool = False
    user_data: bytes = b""
    metadata: Mapping[str, str] = field(default_factory=dict)
    policy: Policy = field(default_factory=Policy)
    envelope: Envelope = Envelope()


@dataclass(frozen=True, kw_only=True, slots=True)
class UpdateInstance:
    """Change some of an instance; None leaves a field as it is."""

    uid: str
    display_name: str | None = None
    metadata: Mapping[str, str] | None = None
    policy: Policy | None = None
    envelope: Envelope = Envelope()


@dataclass(frozen=True, kw_only=True, slots=True)
class LockInstance:
    """Lock an instance."""

    uid: str
    reason: str = ""
    envelope: Envelope = Envelope()


@dataclass(frozen=True, kw_only=True, slots=True)
class UnlockInstance:
    """Take the lock of an instance away."""

    uid: str
    envelope: Envelope = Envelope()


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportImage:
    """Bring an image in; `wanted.image.uid` is its future UUID."""

    wanted: Import
    envelope: Envelope = Envelope()
