"""What calls to both peers have in common: how long they may take, and what their silence means."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from svckit import channel
from svckit.errors import DeadlineExceeded, Unavailable


@contextlib.contextmanager
def calling(peer: str, reason: str) -> Iterator[None]:
    """Errors of a call to a peer. One that is away, or does not answer in time, is Unavailable with `reason`.

    A peer's own refusals and failures pass as they are; its own DEADLINE_EXCEEDED has a reason of its own.
    """
    try:
        with channel.errors():
            yield
    except (Unavailable, DeadlineExceeded) as error:
        if error.reason not in (Unavailable.default_reason, DeadlineExceeded.default_reason):
            raise
        raise Unavailable(
            f"{peer} is away or does not answer: {error.message}", reason=reason, metadata={"peer": peer}
        ) from error
