"""Put the parts together; the only file that names a concrete adapter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from protostar.image.v1 import image_pb2_grpc as rpc

from image_svc.adapters import migrations
from image_svc.adapters.base_files import BaseFolder
from image_svc.adapters.catalogue_sql import SqlCatalogue
from image_svc.adapters.disk_files import InstanceFolders
from image_svc.adapters.fetch_file import FileSource
from image_svc.adapters.fetch_http import HttpLimits, HttpSource
from image_svc.adapters.file_locks import FileLocks
from image_svc.adapters.image_files import ImageFolder
from image_svc.adapters.inspector import ChildInspector
from image_svc.adapters.iso_pycdlib import IsoBuilder
from image_svc.adapters.mkfs import Mkfs
from image_svc.adapters.qemu_img import Budget, QemuImg
from image_svc.adapters.sources import SourceByScheme
from image_svc.config import ImageSettings
from image_svc.domain.acceptance import Limits as ImageLimits
from image_svc.rpc.servicer import CatalogueServicer, DiskServicer
from image_svc.usecases.bases import Bases
from image_svc.usecases.catalogue import CatalogueReader
from image_svc.usecases.ensure_disks import EnsureDisks
from image_svc.usecases.import_image import ImportImage
from image_svc.usecases.instance_files import InstanceFiles
from image_svc.usecases.keyed_locks import KeyedLocks
from image_svc.usecases.work import Work
from svckit.clock import utcnow
from svckit.database import Database
from svckit.migrate import migrate
from svckit.process import Limits
from svckit.server import Build, Lifecycle, Servicer

MIGRATIONS = Path(migrations.__file__).parent


def bootstrap(settings: ImageSettings) -> Build:
    """What `svckit.server.run` builds the daemon with."""

    async def build(lifecycle: Lifecycle) -> Sequence[Servicer]:
        await migrate(settings.image_database_url, MIGRATIONS)
        database = Database(settings.image_database_url)
        lifecycle.on_close(database.close)
        parts = _Parts.of(settings, database)
        lifecycle.on_drain(parts.work.drain)
        lifecycle.stack.callback(parts.disks.close)
        await parts.reader.sweep()
        lifecycle.run(parts.bases.sweep(), "sweep of _base")  # may wait for the lock of another process
        return parts.servicers()

    return build


@dataclass(frozen=True, kw_only=True)
class _Parts:
    work: Work
    disks: InstanceFolders
    bases: Bases
    reader: CatalogueReader
    importer: ImportImage
    ensure_disks: EnsureDisks
    instance_files: InstanceFiles

    @classmethod
    def of(cls, settings: ImageSettings, database: Database) -> _Parts:
        catalogue = SqlCatalogue(database, utcnow)
        images = ImageFolder(settings.images_path)
        work = Work(
            downloads=settings.image_downloads,
            heavy=settings.image_heavy_operations,
            light=settings.image_light_operations,
        )
        tools = QemuImg(_budget(settings))
        inspector = ChildInspector(seconds=settings.image_tool_seconds, limits=_short(settings))
        base_files = BaseFolder(settings.instances_path / "_base")
        disks = InstanceFolders(settings.instances_path, base_files.folder)
        bases = Bases(
            catalogue=catalogue,
            images=images,
            files=base_files,
            tools=tools,
            templates=Mkfs(seconds=settings.image_tool_seconds, limits=_short(settings)),
            inspector=inspector,
            locks=FileLocks(str(settings.instances_path / "locks"), settings.image_lock_seconds),
            work=work,
        )
        of_images, of_instances = KeyedLocks(), KeyedLocks()
        importer = ImportImage(
            catalogue=catalogue,
            files=images,
            sources=SourceByScheme(files=FileSource(settings.source_roots), http=HttpSource(_http(settings))),
            inspector=inspector,
            tools=tools,
            limits=ImageLimits(file_bytes=settings.image_max_bytes, virtual_bytes=settings.image_max_virtual_bytes),
            clock=utcnow,
            work=work,
            busy=of_images,
        )
        return cls(
            work=work,
            disks=disks,
            bases=bases,
            reader=CatalogueReader(catalogue=catalogue, files=images, busy=of_images),
            importer=importer,
            ensure_disks=EnsureDisks(files=disks, bases=bases, tools=tools, busy=of_instances, work=work),
            instance_files=InstanceFiles(files=disks, builder=IsoBuilder(), busy=of_instances),
        )

    def servicers(self) -> list[Servicer]:
        catalogue = CatalogueServicer(importer=self.importer, reader=self.reader)
        disks = DiskServicer(ensure_disks=self.ensure_disks, files=self.instance_files)
        return [
            Servicer("protostar.image.v1.CatalogueService", rpc.add_CatalogueServiceServicer_to_server, catalogue),
            Servicer("protostar.image.v1.DiskService", rpc.add_DiskServiceServicer_to_server, disks),
        ]


def _short(settings: ImageSettings) -> Limits:
    return Limits(cpu_seconds=settings.image_tool_cpu_seconds, address_space_bytes=settings.image_tool_memory_bytes)


def _budget(settings: ImageSettings) -> Budget:
    long = Limits(cpu_seconds=int(settings.image_convert_seconds), address_space_bytes=settings.image_tool_memory_bytes)
    return Budget(
        short=_short(settings),
        short_seconds=settings.image_tool_seconds,
        long=long,
        long_seconds=settings.image_convert_seconds,
    )


def _http(settings: ImageSettings) -> HttpLimits:
    return HttpLimits(
        connect=settings.image_connect_seconds,
        read=settings.image_read_seconds,
        total=settings.image_fetch_seconds,
        redirects=settings.image_max_redirects,
    )
