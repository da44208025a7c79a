"""Honest stand-ins for image_svc's ports; the contract tests hold them and the real things to the same promises."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from pathlib import Path

from image_svc.domain import qcow2, raw_disk
from image_svc.domain.acceptance import HEAD_BYTES, Inspection, QemuInfo
from image_svc.domain.base_names import Template
from image_svc.domain.images import Image
from image_svc.domain.refusals import disk_unsound, image_unacceptable
from svckit.errors import AlreadyExists
from svckit.listing import Comparison


def qcow2_header(
    virtual_size: int,
    backing: str = "",
    *,
    backing_format: str = "raw",
    version: int = 3,
    features: int = 0,
    encryption: int = 0,
) -> bytes:
    """The first bytes of a qcow2 file, laid out as QEMU does: header, extensions, name of the backing file."""
    extensions = b""
    if backing and backing_format:
        name = backing_format.encode()
        extensions = struct.pack(">II", 0xE2792ACA, len(name)) + name.ljust((len(name) + 7) // 8 * 8, b"\0")
    extensions += struct.pack(">II", 0, 0)
    length = 104 if version == 3 else 72
    offset = length + len(extensions) if backing else 0
    fixed = struct.pack(">4sIQIIQI", b"QFI\xfb", version, offset, len(backing), 16, virtual_size, encryption)
    header = fixed.ljust(72, b"\0")
    if version == 3:
        header += struct.pack(">QQQII", features, 0, 0, 4, length)
    return header + extensions + backing.encode()


class MemoryCatalogue:
    """`ports.Catalogue` in a dictionary."""

    def __init__(self, *images: Image) -> None:
        self._images = {image.uid: image for image in images}
        self._removed: dict[str, Image] = {}

    async def add(self, image: Image) -> None:
        buried = self._removed.get(image.uid)
        if image.uid in self._images or (buried and buried.sha256 != image.sha256):
            raise AlreadyExists.of("image", image.uid)
        self._removed.pop(image.uid, None)
        self._images[image.uid] = image

    async def find(self, uid: str) -> Image | None:
        return self._images.get(uid)

    async def list(self, *, limit: int, after: tuple[datetime, str] | None, where: Sequence[Comparison]) -> list[Image]:
        ordered = sorted(self._images.values(), key=lambda image: (image.create_time, image.uid))
        matching = [image for image in ordered if all(_holds(image, comparison) for comparison in where)]
        return [image for image in matching if after is None or (image.create_time, image.uid) > after][:limit]

    async def remove(self, uid: str) -> bool:
        if uid not in self._images:
            return False
        self._removed[uid] = self._images.pop(uid)
        return True


def _holds(image: Image, comparison: Comparison) -> bool:
    return (str(getattr(image, comparison.field)) == comparison.value) is not comparison.negated


class HeaderTools:
    """`ports.DiskTools` that knows headers only; `fail` makes the next call fail, `gate` makes calls wait."""

    def __init__(self) -> None:
        self.fail: Exception | None = None
        self.gate: asyncio.Event | None = None
        self.conversions = 0

    async def info(self, path: str, qemu_format: str) -> QemuInfo:
        await self._pass()
        if qemu_format == "raw":
            return QemuInfo(format="raw", virtual_size_bytes=_whole_sectors(Path(path).stat().st_size))
        header = qcow2.parse(_beginning(path, qcow2.HEAD_BYTES))
        if header is None:
            raise image_unacceptable("it is no qcow2")
        return QemuInfo(format="qcow2", virtual_size_bytes=header.virtual_size_bytes, backing_file=header.backing_file)

    async def check(self, path: str) -> None:
        await self._pass()
        if qcow2.parse(_beginning(path, qcow2.HEAD_BYTES)) is None:
            raise image_unacceptable("it is no qcow2")

    async def convert_to_raw(self, source: str, qemu_format: str, target: str) -> None:
        await self._pass()
        self.conversions += 1
        info = await self.info(source, qemu_format)
        with Path(target).open("xb") as file:
            file.truncate(info.virtual_size_bytes)

    async def create_overlay(self, path: str, backing: str, size_bytes: int) -> None:
        await self._pass()
        Path(path).write_bytes(qcow2_header(size_bytes, backing))

    async def grow(self, path: str, size_bytes: int) -> None:
        await self._pass()
        content = Path(path).read_bytes()
        header = qcow2.parse(content[: qcow2.HEAD_BYTES])
        if header is None or size_bytes < header.virtual_size_bytes:
            raise disk_unsound(path, "cannot be grown", "repair it")
        Path(path).write_bytes(content[:24] + struct.pack(">Q", size_bytes) + content[32:])

    async def _pass(self) -> None:
        if self.gate is not None:
            await self.gate.wait()
        if self.fail is not None:
            failure, self.fail = self.fail, None
            raise failure


class EmptyTemplates:
    """`ports.TemplateMaker` whose file systems are nothing but zeros and a name."""

    async def make_template(self, path: str, template: Template) -> None:
        with Path(path).open("xb") as file:
            file.write(template.volume_uuid.encode())
            file.truncate(template.size_bytes)


class SniffingInspector:
    """`ports.Inspector` that knows qcow2 and raw."""

    async def inspect(self, path: str) -> Inspection:
        content = _beginning(path, HEAD_BYTES)
        header = qcow2.parse(content)
        return Inspection(
            file_bytes=Path(path).stat().st_size,
            head=content,
            contents=["qcow2" if header else "gpt" if raw_disk.has_boot_sector(content) else "raw"],
            virtual_sizes={"qcow2": header.virtual_size_bytes} if header else {},
        )


class NoLocks:
    """`ports.Locks` for one process, which needs none."""

    @contextlib.asynccontextmanager
    async def hold(self, name: str) -> AsyncIterator[None]:
        yield


def _beginning(path: str, length: int) -> bytes:
    with Path(path).open("rb") as file:
        return file.read(length)


def _whole_sectors(size: int) -> int:
    return (size + 511) // 512 * 512
