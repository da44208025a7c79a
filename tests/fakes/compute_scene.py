"""A host to play with: compute_svc's use cases over a fake world, which can be crashed and built anew."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from compute_svc.domain.journal import Command
from compute_svc.domain.model import Flavor, InstanceSpec
from compute_svc.domain.results import RebootMode, Result, StopMode
from compute_svc.domain.steps import Step, StepState, Verb
from compute_svc.usecases.delete import delete
from compute_svc.usecases.host import Host
from compute_svc.usecases.progress import Progress
from compute_svc.usecases.reboot import reboot
from compute_svc.usecases.run import Run
from compute_svc.usecases.start import start
from compute_svc.usecases.stop import stop
from compute_svc.usecases.works import Works
from svckit.errors import ProtostarError
from tests.fakes.compute_ports import (
    FakeConsoles,
    FakeDisks,
    FakeFolders,
    FakeHypervisor,
    FakeJournals,
    FakeNetblock,
    Trouble,
    World,
)

UID = "6f1d2c3b-0a4e-4f5b-9c8d-1e2f3a4b5c6d"
IMAGE = "155d900f-4e14-4e4c-a73d-069cbf4541e6"


def a_spec(uid: str = UID, **changes: Any) -> InstanceSpec:
    """An instance with everything that leaves traces on the host."""
    values: dict[str, Any] = {
        "uid": uid,
        "display_name": "web",
        "project": "p",
        "user": "u",
        "flavor": Flavor(vcpus=1, memory_mib=128, root_gib=1, swap_mib=64),
        "image": IMAGE,
        "config_drive": True,
    }
    return InstanceSpec(**(values | changes))


@dataclass
class Told:
    """What a follower was told: every step as often as it was told, then the result or the error."""

    steps: list[Step] = field(default_factory=list)
    result: Any = None
    error: ProtostarError | None = None

    def last(self, name: str) -> Step:
        """How a step stood in the end."""
        return [step for step in self.steps if step.name == name][-1]

    def states(self) -> dict[str, StepState]:
        return {step.name: step.state for step in self.steps}

    @property
    def reason(self) -> str:
        assert self.error is not None, f"it ended well: {self.result}"
        return self.error.reason

    def well(self) -> Any:
        """The result; the error is raised."""
        if self.error is not None:
            raise self.error
        return self.result


class Scene:
    """One host. `crash` kills the service as kill -9 does, `restart` builds it anew over what survived."""

    def __init__(self) -> None:
        self.world = World()
        self.generation = 0
        self.trouble = Trouble()
        self.obeys = True
        self.born_state: Any = None
        self._build()

    def _build(self) -> None:
        self.hypervisor = FakeHypervisor(self.world, self.trouble)
        self.hypervisor.obeys = self.obeys
        self.journals = FakeJournals(self.world, self.trouble)
        self.netblock = FakeNetblock(self.trouble)
        self.folders = FakeFolders(self.world, self.trouble)
        self.consoles = FakeConsoles(self.world)
        self.host = Host(
            hypervisor=self.hypervisor,
            netblock=self.netblock,
            disks=FakeDisks(self.world, self.trouble),
            folders=self.folders,
            consoles=self.consoles,
            clock=lambda: datetime.now(UTC),
            launching=asyncio.Semaphore(4),
            preparing=asyncio.Semaphore(4),
        )
        self.works = Works(self.journals, self.host)

    async def crash(self) -> None:
        """kill -9: nothing is undone, nothing more is written."""
        self.trouble.gates["journal append"] = asyncio.Event()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks) if tasks else None
        for task in tasks:
            assert task.done()

    def restart(self) -> None:
        """The service again, over the same world; what held it or hurt it is gone."""
        kept, marks = self.folders.kept, self.consoles.marks
        self.trouble = Trouble()
        self._build()
        self.folders.kept, self.consoles.marks = kept, marks

    def command(self, operation: str = "", generation: int = 0, *, attempt: int = 1, seconds: float = 30.0) -> Command:
        """A command of the next generation, unless told otherwise."""
        if not generation:
            self.generation += 1
        return Command(
            operation=operation or str(uuid.uuid4()),
            generation=generation or self.generation,
            attempt=attempt,
            seconds=seconds,
        )

    async def start(self, command: Command | None = None, *, repair: bool = False, **spec: Any) -> Told:
        return await told(await self.begin_start(command, repair=repair, **spec))

    async def begin_start(self, command: Command | None = None, *, repair: bool = False, **spec: Any) -> Progress:
        wanted = a_spec(**spec)
        return await self._perform(Verb.START, command, lambda run: start(run, self.host, wanted, repair=repair))

    async def stop(
        self, command: Command | None = None, *, mode: StopMode = StopMode.FORCE, grace: float = 60.0
    ) -> Told:
        return await told(await self.begin_stop(command, mode=mode, grace=grace))

    async def begin_stop(
        self, command: Command | None = None, *, mode: StopMode = StopMode.FORCE, grace: float = 60.0
    ) -> Progress:
        return await self._perform(Verb.STOP, command, lambda run: stop(run, self.host, mode=mode, grace=grace))

    async def reboot(
        self, command: Command | None = None, *, mode: RebootMode = RebootMode.SOFT, soft_timeout: float = 60.0
    ) -> Told:
        return await told(await self.begin_reboot(command, mode=mode, soft_timeout=soft_timeout))

    async def begin_reboot(
        self, command: Command | None = None, *, mode: RebootMode = RebootMode.SOFT, soft_timeout: float = 60.0
    ) -> Progress:
        return await self._perform(
            Verb.REBOOT,
            command,
            lambda run: reboot(run, self.host, a_spec(), mode=mode, soft_timeout=soft_timeout),
        )

    async def delete(self, command: Command | None = None) -> Told:
        return await told(await self.begin_delete(command))

    async def begin_delete(self, command: Command | None = None) -> Progress:
        return await self._perform(Verb.DELETE, command, lambda run: delete(run, self.host))

    async def idle(self) -> None:
        """Until nothing is being done at the instance."""
        while self.works.busy(UID):
            await asyncio.sleep(0)

    async def _perform(
        self, verb: Verb, command: Command | None, procedure: Callable[[Run], Awaitable[Result]]
    ) -> Progress:
        return await self.works.perform(verb, UID, command or self.command(), procedure)


async def told(progress: Progress) -> Told:
    """Follow to the end."""
    heard = Told()
    try:
        async for event in progress.follow():
            if isinstance(event, tuple):
                heard.steps.extend(event)
            else:
                heard.result = event
    except ProtostarError as error:
        heard.error = error
    return heard
