"""Puts api_svc together: the only file that names a concrete adapter."""

from __future__ import annotations

import random
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from google.longrunning import operations_pb2_grpc
from protostar.api.v1 import (
    host_pb2_grpc,
    image_pb2_grpc,
    instance_service_pb2_grpc,
    network_pb2_grpc,
    operation_pb2_grpc,
    volume_pb2_grpc,
)

from api_svc.adapters.compute_client import ComputeClient
from api_svc.adapters.event_sink import CloudEventsSink
from api_svc.adapters.image_client import CatalogueClient
from api_svc.adapters.netblock_client import NetblockClient
from api_svc.adapters.netblock_doors import DisksClient, NetblockPassage
from api_svc.adapters.store import SqlStore
from api_svc.config import ApiSettings
from api_svc.domain.placement import Capacity
from api_svc.rpc.hosts import HostServicer
from api_svc.rpc.images import ImageServicer
from api_svc.rpc.instances import InstanceServicer
from api_svc.rpc.networks import NetworkServicer
from api_svc.rpc.operations import OperationServicer, OperationsServicer
from api_svc.rpc.volumes import VolumeServicer
from api_svc.usecases import housekeeping, publish
from api_svc.usecases.attachments import Attachments
from api_svc.usecases.attempt import Peers
from api_svc.usecases.board import Bell, Board
from api_svc.usecases.changes import Changes
from api_svc.usecases.commands import Commands
from api_svc.usecases.create import Creation, Limits
from api_svc.usecases.dispatch import Dispatcher, Timing
from api_svc.usecases.events import Events, Pace
from api_svc.usecases.hosts import HostWatch, Patience
from api_svc.usecases.images import Images
from api_svc.usecases.observe import Observer
from api_svc.usecases.operations import Operations
from api_svc.usecases.reading import Reading
from api_svc.usecases.settlement import Settlement
from api_svc.usecases.sightings import Sightings
from svckit import channel
from svckit.clock import utcnow
from svckit.database import Database
from svckit.migrate import migrate
from svckit.server import Lifecycle, Servicer

MIGRATIONS = Path(__file__).parent / "adapters" / "migrations"


async def build(settings: ApiSettings, lifecycle: Lifecycle) -> Sequence[Servicer]:
    """Bring the database up to date, start the background work, and answer what is to be served."""
    await migrate(settings.api_database_url, MIGRATIONS)
    service = _Service(settings, lifecycle)
    service.run()
    return service.servicers()


@dataclass(frozen=True, kw_only=True, slots=True)
class _News:
    """What is told in memory."""

    board: Board
    bell: Bell
    sightings: Sightings


class _Service:
    """All parts, each made once."""

    def __init__(self, settings: ApiSettings, lifecycle: Lifecycle) -> None:
        self._settings = settings
        self._lifecycle = lifecycle
        self._news = _News(board=Board(), bell=Bell(), sightings=Sightings())
        database = Database(settings.api_database_url)
        lifecycle.on_close(database.close)
        self._store = SqlStore(database)
        self._netblock = channel.connect(settings.netblock_address)
        lifecycle.on_close(lambda: self._netblock.close())
        self._peers = self._connect()
        owner = f"{settings.api_replica}/{uuid.uuid4()}"
        self._settlement = Settlement(
            self._store,
            self._news.board,
            self._news.bell,
            self._news.sightings,
            utcnow,
            owner,
            random.random,
        )
        self._dispatcher = Dispatcher(
            self._store,
            self._peers,
            self._news.board,
            self._settlement,
            utcnow,
            owner,
            _timing(settings),
        )
        self._reading = Reading(self._store, self._peers.compute, utcnow, settings.stale_after)
        self._events = Events(self._store, self._reading, self._news.bell, utcnow, _pace(settings))

    def _connect(self) -> Peers:
        compute = ComputeClient()
        image = channel.connect(self._settings.image_address)
        self._lifecycle.on_close(compute.close)
        self._lifecycle.on_close(lambda: image.close())
        netblock = NetblockClient(self._netblock)
        return Peers(compute=compute, netblock=netblock, catalogue=CatalogueClient(image))

    def run(self) -> None:
        """Start what works in the background, for as long as the daemon lives."""
        life = self._lifecycle
        observer = Observer(
            self._store, self._dispatcher, self._news.board, self._news.bell, self._news.sightings, utcnow
        )
        life.run(self._dispatcher.run(), "dispatcher")
        life.run(self._dispatcher.keep_leases(), "leases")
        life.run(observer.run(), "observer")
        for address in self._settings.hosts:
            watch = HostWatch(self._store, self._peers.compute, self._dispatcher, observer, utcnow, address, Patience())
            life.run(watch.run(), f"host {address}")
        retention = housekeeping.Retention(
            events=timedelta(hours=self._settings.event_hours),
            operations=timedelta(days=self._settings.operation_days),
        )
        life.run(housekeeping.run(self._store, utcnow, retention), "housekeeping")
        if self._settings.events_sink:
            sink = CloudEventsSink(self._settings.events_sink, self._settings.data_dir / "events.cursor")
            life.run(publish.run(self._events, sink), "event sink")
        life.on_drain(self._dispatcher.drain)
        life.on_drain(self._close_streams)

    async def _close_streams(self) -> None:
        self._news.board.close()
        self._news.bell.close()

    def servicers(self) -> Sequence[Servicer]:
        """Everything that is served."""
        operations = Operations(self._store, self._dispatcher, self._news.board, self._settlement, utcnow)
        images = Images(self._store, self._dispatcher, self._peers.catalogue, utcnow)
        hosts = HostServicer(self._reading, utcnow, self._settings.stale_after)
        return (
            Servicer(
                "protostar.api.v1.InstanceService",
                instance_service_pb2_grpc.add_InstanceServiceServicer_to_server,
                self._instances(),
            ),
            Servicer(
                "google.longrunning.Operations",
                operations_pb2_grpc.add_OperationsServicer_to_server,
                OperationsServicer(operations),
            ),
            Servicer(
                "protostar.api.v1.OperationService",
                operation_pb2_grpc.add_OperationServiceServicer_to_server,
                OperationServicer(operations),
            ),
            Servicer(
                "protostar.api.v1.ImageService",
                image_pb2_grpc.add_ImageServiceServicer_to_server,
                ImageServicer(images),
            ),
            Servicer("protostar.api.v1.HostService", host_pb2_grpc.add_HostServiceServicer_to_server, hosts),
            *self._networks_and_volumes(),
        )

    def _networks_and_volumes(self) -> Sequence[Servicer]:
        passage = NetblockPassage(self._netblock)
        attachments = Attachments(self._store, DisksClient(self._netblock), self._news.bell, utcnow)
        return (
            Servicer(
                "protostar.api.v1.NetworkService",
                network_pb2_grpc.add_NetworkServiceServicer_to_server,
                NetworkServicer(passage),
            ),
            Servicer(
                "protostar.api.v1.VolumeService",
                volume_pb2_grpc.add_VolumeServiceServicer_to_server,
                VolumeServicer(passage, attachments),
            ),
        )

    def _instances(self) -> InstanceServicer:
        store, news, work = self._store, self._news, self._dispatcher
        limits = Limits(capacity=_capacity(self._settings), instances=self._settings.quota_instances)
        return InstanceServicer(
            Commands(store, work, news.board, news.bell, utcnow),
            Creation(store, work, self._peers.catalogue, self._peers.netblock, news.bell, utcnow, limits),
            Changes(store, news.bell, utcnow),
            self._reading,
            self._events,
            utcnow,
        )


def _timing(settings: ApiSettings) -> Timing:
    """Draining leaves the daemon's grace a little to close things in."""
    return Timing(
        lease=settings.lease_seconds,
        in_flight=settings.in_flight,
        drain=max(0.0, settings.drain_seconds * 0.8 - 1.0),
    )


def _capacity(settings: ApiSettings) -> Capacity:
    return Capacity(
        cpu_overcommit=settings.cpu_overcommit,
        memory_overcommit=settings.memory_overcommit,
        silent_after=settings.stale_after,
    )


def _pace(settings: ApiSettings) -> Pace:
    return Pace(bookmark=settings.bookmark_seconds, patience=settings.watch_patience_seconds)
