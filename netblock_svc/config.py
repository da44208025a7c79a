"""Settings of netblock_svc."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from svckit.config import Settings


class NetblockSettings(Settings):
    """What netblock_svc reads beside what every service reads."""

    netblock_database_url: str = Field(default="", description="default DATA_DIR/netblock.sqlite3")
    volumes_path: Path = Field(default=Path(), description="where volumes are files; default DATA_DIR/volumes")
    default_network: bool = Field(default=True, description='whether the network "default" is made at start')

    @property
    def database_url(self) -> str:
        """The database to use."""
        return self.netblock_database_url or self.sqlite_url("netblock")

    def default_folders(self) -> dict[str, str]:
        return {**super().default_folders(), "volumes_path": "volumes"}
