"""Bring an image in: fetch, verify, inspect, publish. What fails or is cancelled leaves nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from datetime import datetime

from image_svc.domain.acceptance import Limits, check_agreement, format_of, qemu_format
from image_svc.domain.images import DiskFormat, Image, ImportOrder, check_order
from image_svc.domain.refusals import image_unacceptable
from image_svc.ports import Catalogue, DiskTools, ImageFiles, Inspector, Sources, SourceStream, Upload
from image_svc.usecases.keyed_locks import KeyedLocks
from image_svc.usecases.work import Work
from svckit import tracing
from svckit.clock import Clock
from svckit.errors import AlreadyExists, FailedPrecondition, ProtostarError
from svckit.failpoints import failpoint

_PROGRESS_SECONDS = 0.25


@dataclass(frozen=True, kw_only=True)
class StepEvent:
    """A step began, or, with `ended`, ended; with `error`, badly."""

    name: str
    began: datetime
    ended: datetime | None = None
    error: ProtostarError | None = None


@dataclass(frozen=True, kw_only=True)
class ProgressEvent:
    """Bytes fetched so far, and in all (0 when not known)."""

    done_bytes: int
    total_bytes: int


Report = Callable[[StepEvent | ProgressEvent], None]


class ImportImage:
    """The order: the file is published first, the row is the commit point.

    A crash before the row leaves a file that no row names; the sweep at start-up removes it. A row never names a file
    that is not there.
    """

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        files: ImageFiles,
        sources: Sources,
        inspector: Inspector,
        tools: DiskTools,
        limits: Limits,
        clock: Clock,
        work: Work,
        busy: KeyedLocks,
    ) -> None:
        self._catalogue = catalogue
        self._files = files
        self._sources = sources
        self._inspector = inspector
        self._tools = tools
        self._limits = limits
        self._clock = clock
        self._work = work
        self._busy = busy

    async def __call__(self, order: ImportOrder, report: Report) -> Image:
        """The image. The same UUID from the same source again answers what is there.

        :raise InvalidArgument: a field is bad.
        :raise AlreadyExists: IMAGE_ALREADY_EXISTS, from another source or with another checksum.
        :raise FailedPrecondition: IMAGE_SOURCE_UNREADABLE, IMAGE_CHECKSUM_MISMATCH, IMAGE_UNACCEPTABLE.
        :raise ResourceExhausted: NO_SPACE.
        """
        check_order(order)
        async with self._work.interruptible(), self._busy.hold(order.uid):
            there = await self._catalogue.find(order.uid)
            if there is not None:
                return _same(there, order)
            async with self._work.downloads, self._files.begin(order.uid) as upload:
                return await self._bring_in(order, upload, report)

    async def _bring_in(self, order: ImportOrder, upload: Upload, report: Report) -> Image:
        with self._step("fetch", report):
            await self._fetch(order.source, upload, report)
        with self._step("verify", report):
            _check_sum(order, upload)
            await upload.seal()
        with self._step("inspect", report):
            async with self._work.heavy:
                await failpoint("image.import_image.inspect")
                disk_format, virtual_size = await self._inspect(order, upload)
        image = Image(
            uid=order.uid,
            display_name=order.display_name,
            disk_format=disk_format,
            size_bytes=upload.size_bytes,
            virtual_size_bytes=virtual_size,
            sha256=upload.sha256,
            source=order.source,
            create_time=self._clock(),
            min_disk_gib=order.min_disk_gib,
            min_memory_mib=order.min_memory_mib,
            properties=dict(order.properties),
        )
        with self._step("publish", report):
            await _to_its_end(self._publish(image, upload))
        return image

    @contextlib.contextmanager
    def _step(self, name: str, report: Report) -> Iterator[None]:
        began = self._clock()
        report(StepEvent(name=name, began=began))
        try:
            with tracing.span(f"import {name}", {"protostar.step": name}):
                yield
        except ProtostarError as error:
            report(StepEvent(name=name, began=began, ended=self._clock(), error=error))
            raise
        report(StepEvent(name=name, began=began, ended=self._clock()))

    async def _fetch(self, source: str, upload: Upload, report: Report) -> None:
        async with self._sources.open(source) as stream:
            self._check_size(stream.total_bytes)
            await self._copy(stream, upload, report)
        report(ProgressEvent(done_bytes=upload.size_bytes, total_bytes=upload.size_bytes))

    async def _copy(self, stream: SourceStream, upload: Upload, report: Report) -> None:
        loop = asyncio.get_running_loop()
        next_report = loop.time()
        async for chunk in stream.chunks():
            await upload.write(chunk)
            await failpoint("image.import_image.fetch")
            self._check_size(upload.size_bytes)
            if loop.time() >= next_report:
                next_report = loop.time() + _PROGRESS_SECONDS
                report(ProgressEvent(done_bytes=upload.size_bytes, total_bytes=stream.total_bytes))

    def _check_size(self, size: int) -> None:
        if size > self._limits.file_bytes:
            raise image_unacceptable(f"it has more than {self._limits.file_bytes} bytes (PROTOSTAR_IMAGE_MAX_BYTES)")

    async def _inspect(self, order: ImportOrder, upload: Upload) -> tuple[DiskFormat, int]:
        inspection = await self._inspector.inspect(upload.path)
        disk_format = format_of(inspection, order.disk_format)
        info = await self._tools.info(upload.path, qemu_format(disk_format))
        virtual_size = check_agreement(inspection, disk_format, info, self._limits)
        if disk_format is DiskFormat.QCOW2:
            await self._tools.check(upload.path)
        return disk_format, virtual_size

    async def _publish(self, image: Image, upload: Upload) -> None:
        await failpoint("image.import_image.before_publish")
        await upload.publish()
        await failpoint("image.import_image.before_commit")
        try:
            await self._catalogue.add(image)
        except BaseException:
            # Only what certainly has no row may go; if even that cannot be read, the sweep at start-up decides.
            if await self._catalogue.find(image.uid) is None:
                await self._files.remove(image.uid)
            raise


async def _to_its_end(work: Coroutine[None, None, None]) -> None:
    """Await work that must not be cut in the middle: a cancelled caller waits for it, and is cancelled then."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        task.result()
        raise


def _check_sum(order: ImportOrder, upload: Upload) -> None:
    if order.sha256 and upload.sha256 != order.sha256:
        raise FailedPrecondition(
            f"the SHA-256 of {order.source} is {upload.sha256}, not {order.sha256}; the file or the sum is wrong",
            reason="IMAGE_CHECKSUM_MISMATCH",
            metadata={"expected": order.sha256, "actual": upload.sha256},
        )


def _same(there: Image, order: ImportOrder) -> Image:
    if there.source != order.source or (order.sha256 and order.sha256 != there.sha256):
        raise AlreadyExists.of("image", order.uid)
    return there
