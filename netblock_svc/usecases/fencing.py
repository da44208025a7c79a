"""Which commands for an instance are still obeyed."""

from __future__ import annotations

from datetime import datetime

from netblock_svc.domain import refusals
from netblock_svc.ports import UnitOfWork


async def pass_fence(uow: UnitOfWork, instance: str, generation: int, at: datetime) -> None:
    """Let nothing older pass from now on: what a replica sent that has been superseded may still be on its way.

    The instance must be locked.

    :raise Aborted: STALE_GENERATION, a later command was obeyed.
    """
    newest = await uow.fences.newest(instance)
    if generation < newest:
        raise refusals.stale_generation(instance, generation, newest)
    if generation > newest:
        await uow.fences.move(instance, generation, at)
