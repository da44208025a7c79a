"""How each verb ends when it ends well. Pure; `kind` tells them apart in the journal."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from compute_svc.domain.guest import PowerObservation


class StopMode(StrEnum):
    """How a guest is stopped."""

    GRACEFUL = "GRACEFUL"
    FORCE = "FORCE"


class StopOutcome(StrEnum):
    """How a guest came to be off."""

    GUEST_STOPPED = "GUEST_STOPPED"
    KILLED = "KILLED"
    ALREADY_OFF = "ALREADY_OFF"


class RebootMode(StrEnum):
    """How a guest is rebooted."""

    SOFT = "SOFT"
    HARD = "HARD"


@dataclass(frozen=True, kw_only=True)
class PluggedPort:
    """An interface as it was plugged; uids of port and network."""

    port: str
    network: str
    mac_address: str
    ip_addresses: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class PluggedVolume:
    """A volume as it was plugged; `device` is without "/dev/"."""

    volume: str
    device: str = ""


@dataclass(frozen=True, kw_only=True)
class Started:
    """A guest that runs."""

    kind: Literal["started"] = "started"
    power: PowerObservation
    ports: tuple[PluggedPort, ...] = ()
    volumes: tuple[PluggedVolume, ...] = ()
    fast_start: bool = False


@dataclass(frozen=True, kw_only=True)
class Stopped:
    """A guest that is off."""

    kind: Literal["stopped"] = "stopped"
    power: PowerObservation
    outcome: StopOutcome


@dataclass(frozen=True, kw_only=True)
class Rebooted:
    """A guest that runs again, and what was done in the end."""

    kind: Literal["rebooted"] = "rebooted"
    start: Started
    performed: RebootMode


@dataclass(frozen=True, kw_only=True)
class Deleted:
    """Nothing is left of it on this host."""

    kind: Literal["deleted"] = "deleted"


Result = Started | Stopped | Rebooted | Deleted
