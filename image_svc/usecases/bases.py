"""`_base`: what overlays are backed by is made once, however many ask at once (Nova: imagebackend.py, 4.3 to 4.5)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog

from image_svc.domain.acceptance import check_base, qemu_format
from image_svc.domain.base_names import Template, base_name
from image_svc.domain.images import DiskFormat, Image
from image_svc.domain.refusals import image_not_found, image_unacceptable
from image_svc.ports import BaseFiles, Catalogue, DiskTools, ImageFiles, Inspector, Locks, TemplateMaker
from image_svc.usecases.keyed_locks import KeyedLocks
from image_svc.usecases.work import Work
from svckit import tracing
from svckit.errors import ProtostarError
from svckit.failpoints import failpoint

log = structlog.get_logger(__name__)


class Bases:
    """Makes base files and templates be there."""

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        images: ImageFiles,
        files: BaseFiles,
        tools: DiskTools,
        templates: TemplateMaker,
        inspector: Inspector,
        locks: Locks,
        work: Work,
    ) -> None:
        self._catalogue = catalogue
        self._images = images
        self._files = files
        self._tools = tools
        self._templates = templates
        self._inspector = inspector
        self._locks = locks
        self._work = work
        self._busy = KeyedLocks()

    @property
    def folder(self) -> str:
        """Absolute path of `_base`."""
        return self._files.folder

    async def image(self, uid: str) -> Image:
        """The image of this UUID. :raise NotFound: IMAGE_NOT_FOUND."""
        image = await self._catalogue.find(uid)
        if image is None:
            raise image_not_found(uid)
        return image

    async def ensure_image(self, image: Image) -> bool:
        """Whether it had to be fetched, by this call or by one it waited for.

        :raise NotFound: IMAGE_NOT_FOUND, the catalogue's file is gone.
        :raise FailedPrecondition: IMAGE_UNACCEPTABLE.
        :raise ResourceExhausted: NO_SPACE.
        """
        return await self._once(base_name(image.uid), lambda name: self._fetch(image, name))

    async def ensure_template(self, template: Template) -> bool:
        """As `ensure_image`, for an empty file system or swap area."""
        return await self._once(template.name, lambda name: self._format(template, name))

    async def sweep(self) -> None:
        """Remove what a crash left half made. Run at start-up; whoever is at work on one holds its lock.

        What cannot be removed stays: the next fetch of that base begins with removing it.
        """
        try:
            for temporary in await self._files.leftovers():
                async with self._locks.hold(temporary.rpartition(".")[0]):
                    await self._files.discard(temporary)
        except ProtostarError as error:
            log.warning("sweep_failed", folder=self._files.folder, error=error.message)

    async def _once(self, name: str, make: Callable[[str], Awaitable[None]]) -> bool:
        if await self._files.exists(name):
            return False
        with tracing.span("image base", {"protostar.base": name}):
            async with self._busy.hold(name), self._locks.hold(name):
                if not await self._files.exists(name):
                    async with self._work.heavy:
                        await make(name)
        return True

    async def _fetch(self, image: Image, name: str) -> None:
        if await self._images.size_bytes(image.uid) != image.size_bytes:
            raise image_not_found(
                image.uid, f"{self._images.path(image.uid)} is gone or not whole; delete it and import it again"
            )
        temporary = f"{name}.part" if image.disk_format is DiskFormat.ISO else f"{name}.converted"
        try:
            await self._copy(image, temporary)
            await failpoint("image.ensure_disks.base.before_publish")
            await self._files.publish(temporary, name)
        except BaseException:
            await self._files.discard(temporary)
            raise

    async def _copy(self, image: Image, temporary: str) -> None:
        """The image as QEMU will read it: an iso as it is, all else as sparse raw (Nova: force_raw_images)."""
        await failpoint("image.ensure_disks.base.inside")
        source = self._images.path(image.uid)
        if image.disk_format is DiskFormat.ISO:
            path = await self._files.copy(source, temporary)
        else:
            path = await self._files.prepare(temporary)
            await self._tools.convert_to_raw(source, qemu_format(image.disk_format), path)
        inspection = await self._inspector.inspect(path)
        check_base(inspection, image.disk_format)
        if inspection.file_bytes < image.virtual_size_bytes and image.disk_format is not DiskFormat.ISO:
            raise image_unacceptable(f"conversion gave {inspection.file_bytes} of {image.virtual_size_bytes} bytes")

    async def _format(self, template: Template, name: str) -> None:
        temporary = f"{name}.part"
        try:
            path = await self._files.prepare(temporary)
            await self._templates.make_template(path, template)
            await self._files.publish(temporary, name)
        except BaseException:
            await self._files.discard(temporary)
            raise
