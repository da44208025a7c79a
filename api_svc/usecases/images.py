"""Images: importing is an operation; the rest is passed to their owner."""

from __future__ import annotations

import uuid

from api_svc.domain import plan, policy
from api_svc.domain.commands import ImportImage
from api_svc.domain.fields import DEFAULT_DEADLINE
from api_svc.domain.image import Image
from api_svc.domain.operation import Operation, Parameters, Result
from api_svc.domain.policy import Caller
from api_svc.domain.states import Verb
from api_svc.ports import Catalogue, Store, Work
from api_svc.usecases.accepting import as_plan, leased, request_of
from api_svc.usecases.replay import replay
from svckit import tracing
from svckit.clock import Clock
from svckit.errors import ProtostarError
from svckit.failpoints import failpoint

# A big image over a slow line: longer than what happens to an instance.
_IMPORT_DEADLINE = DEFAULT_DEADLINE * 12


class Images:
    """See the module."""

    def __init__(self, store: Store, work: Work, catalogue: Catalogue, clock: Clock) -> None:
        self._store = store
        self._work = work
        self._catalogue = catalogue
        self._clock = clock

    async def import_(self, caller: Caller, command: ImportImage) -> Operation:
        """The operation that brings it in; for validate_only, its plan."""
        policy.require(caller, "image.import")
        operation = self._operation(caller, command)
        if command.envelope.validate_only:
            return as_plan(operation, Result(image=command.wanted.image))
        operation = leased(operation, self._work.lease())
        try:
            async with self._store.transaction() as session:
                await session.operations.add(operation)
        except ProtostarError as refusal:
            return await replay(self._store, caller, command.envelope, refusal)
        await failpoint("api.accept.after_commit")
        self._work.take(operation, None)
        return operation

    async def get(self, caller: Caller, uid: str) -> Image:
        """One image. :raise NotFound: IMAGE_NOT_FOUND."""
        policy.require(caller, "image.get")
        return await self._catalogue.get(uid)

    async def page(self, caller: Caller, size: int, token: str, filter_text: str) -> tuple[list[Image], str]:
        """A page and the token of the next."""
        policy.require(caller, "image.list")
        return await self._catalogue.page(size, token, filter_text)

    async def delete(self, caller: Caller, uid: str) -> None:
        """Take it out of the catalogue. :raise NotFound: IMAGE_NOT_FOUND."""
        policy.require(caller, "image.delete")
        await self._catalogue.delete(uid)

    def _operation(self, caller: Caller, command: ImportImage) -> Operation:
        now = self._clock()
        planned = plan.planned(plan.IMPORT) if command.envelope.validate_only else ()
        return Operation(
            uid=str(uuid.uuid4()),
            verb=Verb.IMPORT_IMAGE,
            target=f"images/{command.wanted.image.uid}",
            project=caller.project,
            actor=caller.name,
            create_time=now,
            deadline=now + _IMPORT_DEADLINE,
            not_before=now,
            steps=planned,
            parameters=Parameters(import_=command.wanted),
            trace=tracing.carrier(),
            request=request_of(caller, command.envelope),
        )
