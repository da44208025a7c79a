"""Which adapters there are."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from pathlib import Path

from protostar.netblock.v1 import netblock_pb2_grpc as grpc_stubs

from netblock_svc.adapters.file_volumes import FileVolumes
from netblock_svc.adapters.storage_sql import SqlStorage
from netblock_svc.config import NetblockSettings
from netblock_svc.rpc.instance_resource_servicer import InstanceResourceServicer
from netblock_svc.rpc.network_servicer import NetworkServicer
from netblock_svc.rpc.volume_servicer import VolumeServicer
from netblock_svc.usecases.networks import ensure_default_network
from netblock_svc.usecases.volumes import VolumeKeeper
from svckit.clock import utcnow
from svckit.database import Database
from svckit.migrate import migrate
from svckit.server import Build, Lifecycle, Servicer

_MIGRATIONS = Path(__file__).parent / "adapters" / "migrations"
_PACKAGE = "protostar.netblock.v1"


def wire(settings: NetblockSettings) -> Build:
    """How netblock_svc is put together from its settings."""

    async def build(lifecycle: Lifecycle) -> Sequence[Servicer]:
        await migrate(settings.netblock_database_url, _MIGRATIONS)
        database = Database(settings.netblock_database_url)
        lifecycle.on_close(database.close)
        backend = await asyncio.to_thread(FileVolumes, settings.volumes_path)
        storage = SqlStorage(database)
        keeper = VolumeKeeper(storage, backend)
        await keeper.recover()
        if settings.default_network:
            await ensure_default_network(storage, utcnow)
        return _servicers(storage, backend, keeper)

    return build


def _servicers(storage: SqlStorage, backend: FileVolumes, keeper: VolumeKeeper) -> Sequence[Servicer]:
    return (
        Servicer(
            f"{_PACKAGE}.NetworkService",
            grpc_stubs.add_NetworkServiceServicer_to_server,
            NetworkServicer(storage, utcnow, secrets.randbits),
        ),
        Servicer(
            f"{_PACKAGE}.VolumeService",
            grpc_stubs.add_VolumeServiceServicer_to_server,
            VolumeServicer(storage, keeper, utcnow),
        ),
        Servicer(
            f"{_PACKAGE}.InstanceResourceService",
            grpc_stubs.add_InstanceResourceServiceServicer_to_server,
            InstanceResourceServicer(storage, backend, utcnow, secrets.randbits),
        ),
    )
