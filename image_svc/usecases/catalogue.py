"""Read and prune the catalogue, and clear up after a crash."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import structlog

from image_svc.domain.images import Image
from image_svc.domain.refusals import image_not_found
from image_svc.ports import Catalogue, ImageFiles
from image_svc.usecases.keyed_locks import KeyedLocks
from svckit import listing
from svckit.errors import InvalidArgument, ProtostarError
from svckit.failpoints import failpoint

log = structlog.get_logger(__name__)
_FIELDS = ("display_name", "disk_format")


class CatalogueReader:
    """What everybody may know of the catalogue, and taking an image out of it."""

    def __init__(self, *, catalogue: Catalogue, files: ImageFiles, busy: KeyedLocks) -> None:
        self._catalogue = catalogue
        self._files = files
        self._busy = busy

    async def get(self, uid: str) -> Image:
        """:raise NotFound: IMAGE_NOT_FOUND."""
        image = await self._catalogue.find(uid)
        if image is None:
            raise image_not_found(uid)
        return image

    async def list(self, page_size: int, page_token: str, filter_text: str) -> tuple[Sequence[Image], str]:
        """A page, oldest first, and the token of the next one.

        :raise InvalidArgument: a bad size, token or filter.
        """
        size = listing.page_size(page_size)
        where = listing.parse_filter(filter_text, _FIELDS)
        after = _after(listing.decode_token(page_token, filter_text, 2))
        images = await self._catalogue.list(limit=size + 1, after=after, where=where)
        page = images[:size]
        if len(images) <= size:
            return page, ""
        return page, listing.encode_token([page[-1].create_time.isoformat(), page[-1].uid], filter_text)

    async def delete(self, uid: str) -> None:
        """The row first: a file without a row is swept, a row without a file would mislead.

        :raise NotFound: IMAGE_NOT_FOUND.
        """
        async with self._busy.hold(uid):
            if not await self._catalogue.remove(uid):
                raise image_not_found(uid)
            await failpoint("image.delete_image.before_file")
            await self._files.remove(uid)

    async def sweep(self) -> None:
        """Remove files that a crash left without a row. Run at start-up; what cannot be removed only takes space."""
        try:
            for uid in await self._files.leftovers():
                if await self._catalogue.find(uid) is None:
                    await self._files.remove(uid)
        except ProtostarError as error:
            log.warning("sweep_failed", folder="images", error=error.message)


def _after(key: tuple[str, ...] | None) -> tuple[datetime, str] | None:
    if key is None:
        return None
    try:
        return datetime.fromisoformat(key[0]), key[1]
    except ValueError as error:
        raise InvalidArgument.field("page_token", "is not a token that this server made") from error
