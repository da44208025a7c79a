"""Settings that every service has. Each is read from the environment as PROTOSTAR_<NAME>, in this one place.

msgspec rather than pydantic: the same declarations and checks, for 3 MB of each process's memory instead of 14.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from pathlib import Path
from typing import Annotated, Any, Self

import msgspec
from msgspec import Meta, field

from svckit import defaults

_ADDRESSES = ("api_address", "compute_address", "image_address", "netblock_address")


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What all four services read. Frozen; each adapter is handed only the piece it needs."""

    data_dir: Annotated[Path, Meta(description="where everything is that is not set below")] = field(
        default_factory=defaults.data_dir
    )
    api_address: str = defaults.API_ADDRESS
    compute_address: str = defaults.COMPUTE_ADDRESS
    image_address: str = defaults.IMAGE_ADDRESS
    netblock_address: str = defaults.NETBLOCK_ADDRESS
    host_name: Annotated[str, Meta(description="this host, as in hosts/{host}")] = field(
        default_factory=socket.gethostname
    )
    instances_path: Annotated[Path, Meta(description="default DATA_DIR/instances")] = Path()
    traces_dir: Annotated[Path, Meta(description="default DATA_DIR/traces; used without OTEL_*")] = Path()
    drain_seconds: Annotated[float, Meta(ge=0, description="how long SIGTERM waits for work in hand")] = 10.0
    log_level: str = "info"

    @classmethod
    def read(cls, **given: Any) -> Self:
        """The settings in the environment, and those given, which win.

        :raise ValueError: one of them is wrong; the message names it.
        """
        variables = {name: os.environ.get(f"PROTOSTAR_{name.upper()}") for name in cls.__struct_fields__}
        values = {name: value for name, value in variables.items() if value is not None} | given
        try:
            return msgspec.convert(values, cls, strict=False, dec_hook=_decode)
        except msgspec.ValidationError as error:
            what, _, where = str(error).partition(" - at `$.")
            raise ValueError(f"PROTOSTAR_{where.rstrip('`').upper()}: {what}" if where else what) from None

    def __post_init__(self) -> None:
        for name in _ADDRESSES:
            _check_loopback(getattr(self, name))
        for name, value in self.derived().items():
            if not getattr(self, name) or getattr(self, name) == Path():
                msgspec.structs.force_setattr(self, name, value)

    def derived(self) -> dict[str, Any]:
        """What settings that are not given follow from others; services add their own."""
        return {"instances_path": self.data_dir / "instances", "traces_dir": self.data_dir / "traces"}

    def sqlite_url(self, name: str) -> str:
        """The embedded database of one service."""
        return f"sqlite+aiosqlite:///{self.data_dir / name}.sqlite3"


def _decode(kind: type, value: Any) -> Any:
    return kind(value)


def _check_loopback(address: str) -> None:
    """Refuse an address that others could reach: there is no TLS yet (design, section 9)."""
    if address.startswith("unix:"):
        return
    host = address.rpartition(":")[0].strip("[]")
    if host != "localhost" and not ipaddress.ip_address(host).is_loopback:
        raise ValueError(f"{address} is not a loopback address, and without TLS only loopback is served")
