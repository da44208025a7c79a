"""protostar.api.v1.ImageService."""

from __future__ import annotations

from typing import Any

from google.longrunning import operations_pb2
from protostar.api.v1 import image_pb2, image_pb2_grpc

from api_svc.rpc.identity import caller_of
from api_svc.translate import requests, resources
from api_svc.translate.operations import operation_to_wire
from api_svc.usecases.images import Images
from svckit import listing, names


class ImageServicer(image_pb2_grpc.ImageServiceServicer):
    """A doorway: translate, call, translate."""

    def __init__(self, images: Images) -> None:
        self._images = images

    async def ImportImage(self, request: image_pb2.ImportImageRequest, context: Any) -> operations_pb2.Operation:
        caller = caller_of(context)
        return operation_to_wire(await self._images.import_(caller, requests.import_image(request)))

    async def GetImage(self, request: image_pb2.GetImageRequest, context: Any) -> image_pb2.Image:
        caller = caller_of(context)
        return resources.image_to_wire(await self._images.get(caller, names.parse("images", request.name)))

    async def ListImages(self, request: image_pb2.ListImagesRequest, context: Any) -> image_pb2.ListImagesResponse:
        caller = caller_of(context)
        size = listing.page_size(request.page_size)
        found, token = await self._images.page(caller, size, request.page_token, request.filter)
        images = [resources.image_to_wire(each) for each in found]
        return image_pb2.ListImagesResponse(images=images, next_page_token=token)

    async def DeleteImage(self, request: image_pb2.DeleteImageRequest, context: Any) -> image_pb2.DeleteImageResponse:
        caller = caller_of(context)
        await self._images.delete(caller, names.parse("images", request.name))
        return image_pb2.DeleteImageResponse()
