"""image_svc's catalogue."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import grpc
from protostar.image.v1 import image_pb2, image_pb2_grpc

from api_svc.adapters.peer import calling
from api_svc.domain.image import Image, Import
from api_svc.domain.operation import Progress, Step
from api_svc.translate import operations, resources

_PEER = "image_svc"
_CALL_SECONDS = 10.0


class CatalogueClient:
    """See `ports.Catalogue`."""

    def __init__(self, connection: grpc.aio.Channel) -> None:
        self._stub: Any = image_pb2_grpc.CatalogueServiceStub(connection)

    async def get(self, uid: str) -> Image:
        with calling(_PEER):
            answer = await self._stub.GetImage(image_pb2.GetImageRequest(uid=uid), timeout=_CALL_SECONDS)
        return resources.image(answer.image)

    async def page(self, size: int, token: str, filter_text: str) -> tuple[list[Image], str]:
        request = image_pb2.ListImagesRequest(page_size=size, page_token=token, filter=filter_text)
        with calling(_PEER):
            answer = await self._stub.ListImages(request, timeout=_CALL_SECONDS)
        return [resources.image(each) for each in answer.images], answer.next_page_token

    async def delete(self, uid: str) -> None:
        with calling(_PEER):
            await self._stub.DeleteImage(image_pb2.DeleteImageRequest(uid=uid), timeout=_CALL_SECONDS)

    async def import_(self, wanted: Import) -> AsyncGenerator[Step | Progress | Image, None]:
        request = image_pb2.ImportImageRequest(
            uid=wanted.image.uid,
            image=resources.image_to_wire(wanted.image),
            source=wanted.source,
            sha256=wanted.sha256,
        )
        with calling(_PEER):
            call = self._stub.ImportImage(request)
            try:
                async for message in call:
                    yield _event(message)
            finally:
                call.cancel()


def _event(message: image_pb2.ImportImageResponse) -> Step | Progress | Image:
    match message.WhichOneof("event"):
        case "step":
            return operations.step(message.step)
        case "image":
            return resources.image(message.image)
        case _:
            return operations.progress(message.progress)
