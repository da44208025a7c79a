"""What a supervisor is to run, as a value that travels as JSON. Pure."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

# The door closes first, so that no new work reaches the hypervisor; what serves it goes last.
_STOP_ORDER: Mapping[str, int] = {"api_svc": 0, "compute_svc": 1, "image_svc": 2, "netblock_svc": 2}
# libvirt's monitor socket: domain-<id>-<first 20 characters of the name>; a unix socket's path holds 107 characters.
_LONGEST_SOCKET = "/libvirt/lib/qemu/domain-99999-12345678901234567890/monitor.sock"
LONGEST_DATA_DIR = 107 - len(_LONGEST_SOCKET)


@dataclass(frozen=True, kw_only=True)
class Program:
    """One service: how it is started, where it will listen and by which option that is changed."""

    name: str
    argv: tuple[str, ...]
    address: str = ""
    option: str = ""
    stop_order: int = 0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything that a supervisor has to know."""

    data_dir: Path
    programs: tuple[Program, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    drain_seconds: float = 10.0

    @property
    def logs_dir(self) -> Path:
        """Where each program's output goes, as <name>.log."""
        return self.data_dir / "logs"

    def to_json(self) -> str:
        """The plan as a line of JSON."""
        return json.dumps(asdict(self) | {"data_dir": str(self.data_dir)})

    @classmethod
    def from_json(cls, text: str) -> Plan:
        """The plan that `to_json` wrote."""
        fields = json.loads(text)
        programs = tuple(Program(**{**entry, "argv": tuple(entry["argv"])}) for entry in fields.pop("programs"))
        return cls(**{**fields, "data_dir": Path(fields["data_dir"]), "programs": programs})


def services(
    data_dir: Path, addresses: Mapping[str, str], settings: Mapping[str, str], drain_seconds: float, python: str = ""
) -> Plan:
    """The four services, run by this interpreter. `addresses` maps "api", "compute", … to host:port."""
    environment = {"PROTOSTAR_DATA_DIR": str(data_dir), "PROTOSTAR_DRAIN_SECONDS": f"{drain_seconds:g}", **settings}
    environment |= {f"PROTOSTAR_{name.upper()}_ADDRESS": address for name, address in addresses.items()}
    programs = tuple(_service(f"{name}_svc", python or sys.executable, addresses[name]) for name in addresses)
    return Plan(data_dir=data_dir, programs=programs, environment=environment, drain_seconds=drain_seconds)


def _service(name: str, python: str, address: str) -> Program:
    return Program(
        name=name,
        argv=(python, "-m", name),
        address=address,
        option=f"--{name.removesuffix('_svc')}",
        stop_order=_STOP_ORDER[name],
    )
