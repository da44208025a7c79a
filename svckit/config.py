"""Settings that every service has. Each is read from the environment as PROTOSTAR_<NAME>, in this one place.

Plain pydantic: its settings package would cost each of the four processes another 5 MB for this one loop.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from svckit import defaults


def _loopback(address: str) -> str:
    """Refuse an address that others could reach: there is no TLS yet (design, section 9)."""
    if address.startswith("unix:"):
        return address
    host = address.rpartition(":")[0].strip("[]")
    if host != "localhost" and not ipaddress.ip_address(host).is_loopback:
        raise ValueError(f"{address} is not a loopback address, and without TLS only loopback is served")
    return address


Address = Annotated[str, AfterValidator(_loopback)]


class Settings(BaseModel):
    """What all four services read. Frozen; each adapter is handed only the piece it needs."""

    model_config = ConfigDict(frozen=True)

    data_dir: Path = Field(default_factory=defaults.data_dir, description="where everything is that is not set below")
    api_address: Address = defaults.API_ADDRESS
    compute_address: Address = defaults.COMPUTE_ADDRESS
    image_address: Address = defaults.IMAGE_ADDRESS
    netblock_address: Address = defaults.NETBLOCK_ADDRESS
    host_name: str = Field(default_factory=socket.gethostname, description="this host, as in hosts/{host}")
    instances_path: Path = Field(default=Path(), description="default DATA_DIR/instances")
    traces_dir: Path = Field(default=Path(), description="default DATA_DIR/traces; used when no OTEL_* exporter is set")
    drain_seconds: float = Field(default=10.0, ge=0, description="how long SIGTERM waits for work in hand")
    log_level: str = "info"

    @classmethod
    def read(cls, **given: Any) -> Self:
        """The settings in the environment, and those given, which win.

        :raise pydantic.ValidationError: one of them is wrong.
        """
        environment = {name: os.environ.get(f"PROTOSTAR_{name.upper()}") for name in cls.model_fields}
        return cls(**{name: value for name, value in environment.items() if value is not None} | given)

    @model_validator(mode="after")
    def _fill_paths(self) -> Self:
        for name, folder in self.default_folders().items():
            if getattr(self, name) == Path():
                object.__setattr__(self, name, self.data_dir / folder)
        return self

    def default_folders(self) -> dict[str, str]:
        """Path settings that default to a folder of the data directory; services add their own."""
        return {"instances_path": "instances", "traces_dir": "traces"}

    def sqlite_url(self, name: str) -> str:
        """The embedded database of one service."""
        return f"sqlite+aiosqlite:///{self.data_dir / name}.sqlite3"
