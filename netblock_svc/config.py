"""Settings of netblock_svc."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta

from svckit.config import Settings


class NetblockSettings(Settings, frozen=True, kw_only=True):
    """What netblock_svc reads beside what every service reads."""

    netblock_database_url: Annotated[str, Meta(description="default SQLite in DATA_DIR/netblock.sqlite3")] = ""
    volumes_path: Annotated[Path, Meta(description="where volumes are files; default DATA_DIR/volumes")] = Path()
    default_network: Annotated[bool, Meta(description='whether the network "default" is made at start')] = True

    def derived(self) -> dict[str, Any]:
        return {
            **super().derived(),
            "netblock_database_url": self.sqlite_url("netblock"),
            "volumes_path": self.data_dir / "volumes",
        }
