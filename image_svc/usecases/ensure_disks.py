"""Have an instance's disks be there and sound: measure, and only if something is missing, act and measure again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from image_svc.domain.base_names import base_name
from image_svc.domain.disks import DiskFacts, DiskRole, DiskType, FoundDisk, InstanceDisks, check_wanted, facts_of
from image_svc.domain.images import DiskFormat, Image
from image_svc.domain.plan import Verdict, judge_all, missing_backings
from image_svc.domain.refusals import flavor_disk_too_small
from image_svc.ports import DiskFiles, DiskTools
from image_svc.usecases.bases import Bases
from image_svc.usecases.keyed_locks import KeyedLocks
from image_svc.usecases.work import Work
from svckit import tracing
from svckit.failpoints import failpoint


@dataclass(frozen=True, kw_only=True)
class Ensured:
    """The facts of every disk that is there, in the order asked for."""

    disks: Sequence[DiskFacts]
    base_fetched: bool = False


class EnsureDisks:
    """Where everything is there already it reads a few kilobytes in one thread hop: no program, no SQL, no lock."""

    def __init__(
        self,
        *,
        files: DiskFiles,
        bases: Bases,
        tools: DiskTools,
        busy: KeyedLocks,
        work: Work,
    ) -> None:
        self._files = files
        self._bases = bases
        self._tools = tools
        self._busy = busy
        self._work = work

    async def __call__(self, wanted: InstanceDisks) -> Ensured:
        """The disks as they really are; made, grown or given their backing again where that was needed.

        When it fails, disks made by this call are gone again; a base that was fetched stays.

        :raise InvalidArgument: a field is bad.
        :raise NotFound: IMAGE_NOT_FOUND.
        :raise FailedPrecondition: IMAGE_UNACCEPTABLE, FLAVOR_DISK_SMALLER_THAN_IMAGE, DISK_UNSOUND.
        :raise ResourceExhausted: NO_SPACE.
        """
        check_wanted(wanted)
        found = await self._look(wanted)
        if all(verdict.is_sound for verdict in self._judge(wanted, found)):
            return Ensured(disks=_facts(wanted, found))
        async with self._work.interruptible(), self._busy.hold(wanted.uid):
            return await self._mend(wanted)

    async def _look(self, wanted: InstanceDisks) -> dict[str, FoundDisk]:
        return await self._files.look(wanted.uid, [disk.name for disk in wanted.disks])

    def _judge(self, wanted: InstanceDisks, found: Mapping[str, FoundDisk]) -> list[Verdict]:
        return judge_all(wanted, found, self._bases.folder)

    async def _mend(self, wanted: InstanceDisks) -> Ensured:
        verdicts = await self._pinned(wanted)
        needs_base, templates = missing_backings(verdicts)
        image = await self._fitting_image(wanted, verdicts) if needs_base else None
        fetched = await self._bases.ensure_image(image) if image else False
        for template in templates:
            await self._bases.ensure_template(template)
        created = await self._make_missing(wanted, verdicts, image)
        for verdict in verdicts:
            if verdict.grow_to:
                await self._grow(verdict)
        return Ensured(disks=_facts(wanted, await self._look(wanted), created), base_fetched=fetched)

    async def _pinned(self, wanted: InstanceDisks) -> list[Verdict]:
        """The verdicts, once a root disk whose pin was lost has it again, from the catalogue and never from content."""
        verdicts = self._judge(wanted, await self._look(wanted))
        for verdict in verdicts:
            if verdict.pin_is_lost:
                image = await self._bases.image(wanted.image)
                await self._files.pin(wanted.uid, verdict.disk.name, _root_type(image))
        if any(verdict.pin_is_lost for verdict in verdicts):
            verdicts = self._judge(wanted, await self._look(wanted))
        return verdicts

    async def _fitting_image(self, wanted: InstanceDisks, verdicts: Sequence[Verdict]) -> Image:
        image = await self._bases.image(wanted.image)
        for verdict in verdicts:
            disk = verdict.disk
            is_new_root = verdict.is_missing and disk.role is DiskRole.ROOT
            if is_new_root and 0 < disk.size_bytes < image.virtual_size_bytes:
                raise flavor_disk_too_small(disk.name, disk.size_bytes, image.virtual_size_bytes)
        return image

    async def _make_missing(
        self, wanted: InstanceDisks, verdicts: Sequence[Verdict], image: Image | None
    ) -> frozenset[str]:
        created: list[str] = []
        try:
            for verdict in verdicts:
                if verdict.is_missing:
                    created.append(verdict.disk.name)
                    await self._make(wanted.uid, verdict, image)
        except BaseException:
            if created:
                await self._files.remove(wanted.uid, created)
            raise
        return frozenset(created)

    async def _make(self, uid: str, verdict: Verdict, image: Image | None) -> None:
        name = verdict.disk.name
        try:
            with tracing.span("image disk", {"protostar.instance": uid, "protostar.disk": name}):
                pinned = await self._fill(uid, verdict, image)
                await failpoint("image.ensure_disks.disk.before_publish")
                await self._files.publish(uid, name, pinned)
                await failpoint("image.ensure_disks.disk.after_publish")
        except BaseException:
            await self._files.discard(uid, name)
            raise

    async def _fill(self, uid: str, verdict: Verdict, image: Image | None) -> DiskType:
        name, size = verdict.disk.name, verdict.disk.size_bytes
        path = await self._files.prepare(uid, name)
        if verdict.backing is None and image and image.disk_format is DiskFormat.ISO:
            async with self._work.heavy:
                await self._files.copy(self._base_path(base_name(image.uid)), uid, name)
            return DiskType.RAW
        backing = verdict.backing.name if verdict.backing else base_name(image.uid if image else "")
        size = size or (image.virtual_size_bytes if image else 0)
        async with self._work.light:
            await self._tools.create_overlay(path, self._base_path(backing), size)
        return DiskType.QCOW2

    async def _grow(self, verdict: Verdict) -> None:
        async with self._work.light:
            await failpoint("image.ensure_disks.grow.before")
            await self._tools.grow(verdict.path, verdict.grow_to)

    def _base_path(self, name: str) -> str:
        return f"{self._bases.folder}/{name}"


def _root_type(image: Image) -> DiskType:
    return DiskType.RAW if image.disk_format is DiskFormat.ISO else DiskType.QCOW2


def _facts(
    wanted: InstanceDisks, found: Mapping[str, FoundDisk], created: frozenset[str] = frozenset()
) -> list[DiskFacts]:
    return [
        facts_of(disk, found[disk.name], created=disk.name in created) for disk in wanted.disks if disk.name in found
    ]
