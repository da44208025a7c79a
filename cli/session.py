"""What a command was told about where to go and as whom."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cli.supervisor import lock
from svckit import defaults


@dataclass(frozen=True, kw_only=True)
class Session:
    """The options that every command has."""

    data_dir: Path
    api_address: str
    user: str = ""
    project: str = ""
    roles: str = ""
    as_json: bool = False

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """Who is asking, as api_svc reads it; in embedded mode the local admin when nothing is given."""
        pairs = (("user", self.user), ("project", self.project), ("roles", self.roles))
        return tuple((f"x-protostar-{key}", value) for key, value in pairs if value)

    @property
    def traces_dir(self) -> Path:
        """Where the services of this machine keep their spans."""
        return self.data_dir / "traces"


def open_session(
    *, data_dir: Path | None, api_address: str | None, user: str, project: str, roles: str, as_json: bool
) -> Session:
    """The session of what was given; the rest as it is on this machine."""
    folder = (data_dir or defaults.data_dir()).expanduser().absolute()
    address = api_address or _running_api(folder) or defaults.API_ADDRESS
    return Session(data_dir=folder, api_address=address, user=user, project=project, roles=roles, as_json=as_json)


def _running_api(data_dir: Path) -> str:
    holder = lock.holder(data_dir) or {}
    return str(holder.get("addresses", {}).get("api_svc", ""))
