"""What the file system refuses, in our words."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator

from image_svc.domain.refusals import no_space
from svckit.errors import FailedPrecondition

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@contextlib.contextmanager
def storage_errors(path: str) -> Iterator[None]:
    """Work on `path`.

    :raise ResourceExhausted: NO_SPACE, the file system, the quota or the largest size of a file is used up.
    :raise FailedPrecondition: STORAGE_UNUSABLE, it is read-only, broken or not ours.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise no_space(path) from error
        raise FailedPrecondition(
            f"cannot use {path}: {error.strerror or error}; see to the file system, then retry",
            reason="STORAGE_UNUSABLE",
            metadata={"path": path, "errno": errno.errorcode.get(error.errno or 0, "")},
        ) from error
