"""What an instance asks to be bound to, and whether it is already."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from netblock_svc.domain.port import Port
from netblock_svc.domain.volume import Volume
from svckit.errors import InvalidArgument


@dataclass(frozen=True, kw_only=True)
class WantedInterface:
    """Either an existing port or a network on which to make one."""

    port: str = ""
    network: str = ""


@dataclass(frozen=True, kw_only=True)
class WantedDisk:
    """A volume to attach; `device` is "" when the compute host is to choose."""

    volume: str
    device: str = ""


@dataclass(frozen=True, kw_only=True)
class Binding:
    """All that an instance asks for, interfaces in guest order."""

    instance: str
    generation: int
    project: str
    interfaces: tuple[WantedInterface, ...]
    disks: tuple[WantedDisk, ...]


@dataclass(frozen=True, kw_only=True)
class Bound:
    """All that it has got."""

    ports: tuple[Port, ...]
    volumes: tuple[Volume, ...]


def check_binding(binding: Binding) -> None:
    """Refuse what cannot be bound whatever exists.

    :raise InvalidArgument: an interface names neither or both, or something is named twice.
    """
    for i, interface in enumerate(binding.interfaces):
        if bool(interface.port) == bool(interface.network):
            raise InvalidArgument.field(f"ports[{i}]", "must name either a port or a network")
    _check_once("ports", [interface.port for interface in binding.interfaces])
    _check_once("volumes", [disk.volume for disk in binding.disks])
    _check_once("volumes", [disk.device for disk in binding.disks])


def is_bound_as(ports: Sequence[Port], wanted: Sequence[WantedInterface]) -> bool:
    """Whether an instance's ports are what binding it to `wanted` would have made."""
    return len(ports) == len(wanted) and all(
        port.uid == interface.port if interface.port else port.made_for_instance and port.network == interface.network
        for port, interface in zip(ports, wanted, strict=True)
    )


def _check_once(field: str, names: Sequence[str]) -> None:
    for i, name in enumerate(names):
        if name and name in names[:i]:
            raise InvalidArgument.field(f"{field}[{i}]", f"names {name} a second time")
