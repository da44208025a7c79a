"""Both services of the image service."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from protostar.image.v1 import image_pb2 as pb
from protostar.image.v1 import image_pb2_grpc as rpc

from image_svc.domain.images import ImportOrder
from image_svc.rpc import translate
from image_svc.usecases.catalogue import CatalogueReader
from image_svc.usecases.ensure_disks import EnsureDisks
from image_svc.usecases.import_image import ImportImage, ProgressEvent, StepEvent
from image_svc.usecases.instance_files import InstanceFiles

Event = StepEvent | ProgressEvent


class CatalogueServicer(rpc.CatalogueServiceServicer):
    """protostar.image.v1.CatalogueService."""

    def __init__(self, *, importer: ImportImage, reader: CatalogueReader) -> None:
        self._import = importer
        self._reader = reader

    async def ImportImage(self, request: pb.ImportImageRequest, context: Any) -> AsyncIterator[pb.ImportImageResponse]:
        order = translate.order_from(request)
        events: asyncio.Queue[Event | None] = asyncio.Queue()
        # A task of its own: a client that reads slowly holds up its own answer, not the import and who waits behind it.
        work = asyncio.ensure_future(self._run(order, events))
        try:
            while (event := await events.get()) is not None:
                yield translate.event_to(event)
            yield pb.ImportImageResponse(image=translate.image_to(await work))
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)

    async def _run(self, order: ImportOrder, events: asyncio.Queue[Event | None]) -> Any:
        try:
            return await self._import(order, events.put_nowait)
        finally:
            events.put_nowait(None)

    async def GetImage(self, request: pb.GetImageRequest, context: Any) -> pb.GetImageResponse:
        return pb.GetImageResponse(image=translate.image_to(await self._reader.get(request.uid)))

    async def ListImages(self, request: pb.ListImagesRequest, context: Any) -> pb.ListImagesResponse:
        images, token = await self._reader.list(request.page_size, request.page_token, request.filter)
        return pb.ListImagesResponse(images=map(translate.image_to, images), next_page_token=token)

    async def DeleteImage(self, request: pb.DeleteImageRequest, context: Any) -> pb.DeleteImageResponse:
        await self._reader.delete(request.uid)
        return pb.DeleteImageResponse()


class DiskServicer(rpc.DiskServiceServicer):
    """protostar.image.v1.DiskService."""

    def __init__(self, *, ensure_disks: EnsureDisks, files: InstanceFiles) -> None:
        self._ensure_disks = ensure_disks
        self._files = files

    async def EnsureDisks(self, request: pb.EnsureDisksRequest, context: Any) -> pb.EnsureDisksResponse:
        return translate.ensured_to(await self._ensure_disks(translate.disks_from(request)))

    async def BuildConfigDrive(self, request: pb.BuildConfigDriveRequest, context: Any) -> pb.BuildConfigDriveResponse:
        facts = await self._files.build_config_drive(request.uid, dict(request.files), request.digest)
        return pb.BuildConfigDriveResponse(disk=translate.facts_to(facts))

    async def RemoveDisks(self, request: pb.RemoveDisksRequest, context: Any) -> pb.RemoveDisksResponse:
        return pb.RemoveDisksResponse(removed=await self._files.remove(request.uid, request.names))
