"""Copies of large files: shared extents where the file system can, in pieces, so that a copy can be stopped."""

from __future__ import annotations

import errno
import os

from image_svc.adapters.os_errors import storage_errors
from image_svc.adapters.threads import acquired_in_thread, in_thread

_PIECE = 64 * 1024**2
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_CANNOT_SHARE = frozenset({errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP})


async def copy_file(source: str, target: str) -> None:
    """Copy to a file that is not there yet. What was begun stays if it fails; the caller removes it.

    :raise ResourceExhausted: NO_SPACE.
    """
    with storage_errors(target):
        reading = await acquired_in_thread(os.close, os.open, source, os.O_RDONLY | os.O_CLOEXEC)
        try:
            writing = await acquired_in_thread(os.close, os.open, target, _NEW, 0o600)
            try:
                while await in_thread(_copy_piece, reading, writing):
                    pass
            finally:
                os.close(writing)
        finally:
            os.close(reading)


def _copy_piece(reading: int, writing: int) -> int:
    try:
        return os.copy_file_range(reading, writing, _PIECE)
    except OSError as error:
        if error.errno not in _CANNOT_SHARE:
            raise
    return os.sendfile(writing, reading, None, _PIECE)
