"""Config drives, and the removal of disks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from image_svc.domain.config_drive import check_files
from image_svc.domain.disks import CONFIG_DRIVE, DiskFacts, DiskRole, WantedDisk, check_uid, facts_of, is_disk_name
from image_svc.domain.images import is_sha256
from image_svc.ports import DiskFiles, DriveBuilder
from image_svc.usecases.keyed_locks import KeyedLocks
from svckit import tracing
from svckit.errors import InvalidArgument
from svckit.failpoints import failpoint


class InstanceFiles:
    """What is done to the files of one instance, one thing at a time."""

    def __init__(self, *, files: DiskFiles, builder: DriveBuilder, busy: KeyedLocks) -> None:
        self._files = files
        self._builder = builder
        self._busy = busy

    async def build_config_drive(self, uid: str, files: Mapping[str, bytes], digest: str) -> DiskFacts:
        """Write `disk.config`; an older one is replaced in one step.

        :raise InvalidArgument: a bad path, or a digest that is none.
        :raise ResourceExhausted: NO_SPACE.
        """
        check_uid(uid)
        check_files(files.keys())
        if not is_sha256(digest):
            raise InvalidArgument.field("digest", "must be 64 hex digits in lower case")
        with tracing.span("image config drive", {"protostar.instance": uid}):
            content = await self._builder.build(files, digest)
            async with self._busy.hold(uid):
                await failpoint("image.build_config_drive.before_write")
                await self._files.write(uid, CONFIG_DRIVE, content)
                found = await self._files.look(uid, [CONFIG_DRIVE])
        drive = WantedDisk(name=CONFIG_DRIVE, role=DiskRole.CONFIG)
        return facts_of(drive, found[CONFIG_DRIVE], created=True)

    async def remove(self, uid: str, names: Sequence[str]) -> list[str]:
        """Remove these disks, or all; what is not there is no error.

        :raise InvalidArgument: a name that is not one of our disks.
        """
        check_uid(uid)
        for name in names:
            if not is_disk_name(name):
                raise InvalidArgument.field("names", f"{name!r} is not the name of a disk")
        async with self._busy.hold(uid):
            await failpoint("image.remove_disks.before")
            return await self._files.remove(uid, names)
