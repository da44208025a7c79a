"""Settings of api_svc, beside those that every service has (`svckit.config`)."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

from msgspec import Meta

from svckit.config import Settings


class ApiSettings(Settings, frozen=True, kw_only=True):
    """Read from the environment as PROTOSTAR_<NAME>."""

    api_database_url: Annotated[str, Meta(description="default: SQLite, DATA_DIR/api.sqlite3")] = ""
    api_replica: Annotated[str, Meta(description="this replica's lasting name, default HOST_NAME@API_ADDRESS")] = ""
    compute_addresses: Annotated[str, Meta(description="every host's compute_svc, default COMPUTE_ADDRESS")] = ""
    power_stale_seconds: Annotated[float, Meta(gt=0, description="silence that makes power unknown")] = 30.0
    quota_instances: Annotated[int, Meta(ge=0, description="instances a project may have, 0 for any number")] = 0
    cpu_overcommit: Annotated[float, Meta(gt=0, description="virtual CPUs promised per physical one")] = 16.0
    memory_overcommit: Annotated[float, Meta(gt=0, description="memory promised per memory there is")] = 1.5
    in_flight: Annotated[int, Meta(gt=0, description="operations that one replica works on at a time")] = 256
    lease_seconds: Annotated[float, Meta(ge=2, le=30, description="silence before others take over")] = 6.0
    event_hours: Annotated[float, Meta(ge=24, description="how long events are kept for watchers to resume")] = 72.0
    operation_days: Annotated[float, Meta(ge=1, description="how long ended operations are kept")] = 30.0
    events_sink: Annotated[str, Meta(description='path for CloudEvents, a JSON object a line; "-" is stdout')] = ""
    bookmark_seconds: Annotated[float, Meta(gt=0, description="silence in a watch before a bookmark comes")] = 10.0
    watch_patience_seconds: Annotated[float, Meta(gt=0, description="how long a watcher may take for an event")] = 60.0

    def derived(self) -> dict[str, Any]:
        return {
            **super().derived(),
            "api_database_url": self.sqlite_url("api"),
            "api_replica": f"{self.host_name}@{self.api_address}".replace("/", "_"),
            "compute_addresses": self.compute_address,
        }

    @property
    def hosts(self) -> list[str]:
        """Addresses of all hosts."""
        return [address.strip() for address in self.compute_addresses.split(",") if address.strip()]

    @property
    def stale_after(self) -> timedelta:
        """See `power_stale_seconds`."""
        return timedelta(seconds=self.power_stale_seconds)
