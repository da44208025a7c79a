"""Settings of api_svc, beside those that every service has (`svckit.config`)."""

from __future__ import annotations

from datetime import timedelta
from typing import Self

from pydantic import Field, model_validator

from svckit.config import Settings


class ApiSettings(Settings):
    """Read from the environment as PROTOSTAR_<NAME>."""

    api_database_url: str = Field(default="", description="default: SQLite, DATA_DIR/api.sqlite3")
    api_replica: str = Field(default="", description="this replica's lasting name, default HOST_NAME and API_ADDRESS")
    compute_addresses: str = Field(default="", description="every host's compute_svc, default COMPUTE_ADDRESS alone")
    power_stale_seconds: float = Field(default=30.0, gt=0, description="silence of a host that makes power unknown")
    quota_instances: int = Field(default=0, ge=0, description="instances a project may have, 0 for any number")
    cpu_overcommit: float = Field(default=16.0, gt=0, description="virtual CPUs promised per physical one")
    memory_overcommit: float = Field(default=1.5, gt=0, description="memory promised per memory there is")
    in_flight: int = Field(default=256, gt=0, description="operations that one replica works on at a time")
    lease_seconds: float = Field(default=6.0, ge=2, description="silence of a replica after which others take over")
    event_hours: float = Field(default=72.0, ge=24, description="how long events are kept for watchers to resume")
    operation_days: float = Field(default=30.0, ge=1, description="how long ended operations are kept")
    bookmark_seconds: float = Field(default=10.0, gt=0, description="silence in a watch after which a bookmark comes")
    watch_patience_seconds: float = Field(default=60.0, gt=0, description="how long a watcher may take for an event")

    @model_validator(mode="after")
    def _fill_names(self) -> Self:
        filled = {
            "api_database_url": self.sqlite_url("api"),
            "api_replica": f"{self.host_name}@{self.api_address}".replace("/", "_"),
            "compute_addresses": self.compute_address,
        }
        for name, value in filled.items():
            if not getattr(self, name):
                object.__setattr__(self, name, value)
        return self

    @property
    def hosts(self) -> list[str]:
        """Addresses of all hosts."""
        return [address.strip() for address in self.compute_addresses.split(",") if address.strip()]

    @property
    def stale_after(self) -> timedelta:
        """See `power_stale_seconds`."""
        return timedelta(seconds=self.power_stale_seconds)
