"""How many guests run, for whoever is about to stop the services."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace

from protostar.api.v1.instance_service_pb2 import ListInstancesRequest

from cli.client.api import connected
from cli.session import Session
from svckit.errors import ProtostarError

_SECONDS = 2.0


async def running_guests(session: Session) -> int | None:
    """Guests that run, whosever they are; None when nobody can tell."""
    everybody = replace(session, user="", project="", roles="")
    with contextlib.suppress(ProtostarError, TimeoutError):
        async with asyncio.timeout(_SECONDS), connected(everybody) as api:
            answer = await api.every(
                api.instances.ListInstances, ListInstancesRequest(filter='power_state = "RUNNING"')
            )
            return len(answer.instances)
    return None
