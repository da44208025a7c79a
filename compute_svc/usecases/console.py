"""What a guest has said on its serial console."""

from __future__ import annotations

from compute_svc.usecases.host import Host
from svckit.errors import NotFound, Resource

# A gRPC message carries 4 MiB.
_MOST = 3 * 1024**2
_USUAL = 64 * 1024


async def output(host: Host, uid: str, max_bytes: int) -> tuple[bytes, bool]:
    """The last bytes, and whether there are more before them; 0 asks for 64 KiB, never more than 3 MiB are given.

    :raise NotFound: CONSOLE_NOT_FOUND, its guest never booted here.
    """
    found = await host.consoles.tail(uid, min(max_bytes or _USUAL, _MOST))
    if found is None:
        raise NotFound(
            f"instance {uid} has no console on this host; its guest has not booted yet",
            reason="CONSOLE_NOT_FOUND",
            metadata={"instance": uid},
            resource=Resource("console", uid),
        )
    return found
