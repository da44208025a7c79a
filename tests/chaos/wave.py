"""A wave: one instance at every point that a verb passes, all of them held there, and then the kill.

So one kill tries every point at once. What was accepted before it must end well after it, since everything comes back.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from google.longrunning import operations_pb2
from google.longrunning.operations_pb2 import GetOperationRequest
from protostar.api.v1 import instance_pb2

from tests.chaos.arena import Arena
from tests.chaos.hypervisors import of
from tests.chaos.invariants import Scene, settle
from tests.chaos.patience import ask, ended, patiently, told
from tests.chaos.points import Verb
from tests.client import Client
from tests.postgres import Cluster

# Where an instance must rest for a verb to be allowed.
_BEFORE = {
    Verb.START: instance_pb2.VM_STATE_STOPPED,
    Verb.STOP: instance_pb2.VM_STATE_ACTIVE,
    Verb.GRACEFUL_STOP: instance_pb2.VM_STATE_ACTIVE,
    Verb.REBOOT: instance_pb2.VM_STATE_ACTIVE,
    Verb.SOFT_REBOOT: instance_pb2.VM_STATE_ACTIVE,
    Verb.DELETE: instance_pb2.VM_STATE_ACTIVE,
}
_MOST = 60


def fresh(count: int) -> list[str]:
    """Names for new instances."""
    return [str(uuid.uuid4()) for _ in range(count)]


@dataclass
class Pinned:
    """An operation that is held at a point."""

    point: str
    uid: str
    accepted: Future[operations_pb2.Operation]


@dataclass
class Field:
    """Where waves roll: services, a client, a pool of instances."""

    arena: Arena
    client: Client
    scene: Scene
    image: str
    seconds: float = 60  # that an operation may take
    uids: list[str] = field(default_factory=list)
    hands: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(64))

    def wave(self, verb: Verb, points: Sequence[str], victims: Iterable[str]) -> list[Pinned]:
        """Hold at every point, kill, bring back; everything accepted must end well and leave the world in order."""
        names = list(victims)
        return self.disturbed(verb, points, lambda: self.arena.fell(names), lambda: self.arena.revive(names))

    def disturbed(
        self, verb: Verb, points: Sequence[str], strike: Callable[[], None], mend: Callable[[], None]
    ) -> list[Pinned]:
        """The same with any other blow."""
        try:
            pinned = self.pin(verb, points)
            strike()
        finally:
            self.arena.release()
        mend()
        self.assert_ended_well(pinned)
        settle(self.scene)
        if verb is Verb.CREATE:
            self.uids += [each.uid for each in pinned]
            self._cull()
        return pinned

    def _cull(self) -> None:
        """The test driver's host has room for some hundred and fifty instances."""
        superfluous = self.uids[_MOST:]
        self.all_at_once(Verb.DELETE, superfluous)
        self.uids = self.uids[:_MOST]

    def pin(self, verb: Verb, points: Sequence[str]) -> list[Pinned]:
        """Begin `verb` on as many instances, each held at a point of its own."""
        uids = fresh(len(points)) if verb is Verb.CREATE else self.resting(verb, len(points))
        return [self.pin_one(verb, uid, point) for uid, point in zip(uids, points, strict=True)]

    def assert_ended_well(self, pinned: Iterable[Pinned]) -> None:
        """Every one has succeeded; all that have not are named."""
        failures = []
        for each in pinned:
            done = ended(self.client, each.accepted.result(90), self.seconds + 30)
            if done.HasField("error"):
                failures.append(f"{each.point}: {told(done)}")
        assert not failures, "\n".join([*failures, *self.arena.complaints()])

    def resting(self, verb: Verb, count: int) -> list[str]:
        """Instances in the state that the verb begins from; for delete they leave the pool."""
        missing = max(0, count - len(self.uids))
        self.all_at_once(Verb.CREATE, made := fresh(missing))
        self.uids += made
        chosen = self.uids[:count]
        self.bring(chosen, _BEFORE[verb])
        if verb is Verb.DELETE:
            self.uids = self.uids[count:]
        return chosen

    def bring(self, uids: Sequence[str], state: instance_pb2.VmState) -> None:
        """Bring instances to a resting state, with a definition: the test driver's die with compute_svc."""
        states = {uid: patiently(lambda uid=uid: self.get(uid)).vm_state for uid in uids}
        defined = self.scene.hypervisor.defined()
        broken = [uid for uid in uids if states[uid] == instance_pb2.VM_STATE_ERROR or uid not in defined]
        self.all_at_once(Verb.REBOOT, broken)
        states |= dict.fromkeys(broken, instance_pb2.VM_STATE_ACTIVE)
        verb = Verb.STOP if state == instance_pb2.VM_STATE_STOPPED else Verb.START
        self.all_at_once(verb, [uid for uid in uids if states[uid] != state])

    def all_at_once(self, verb: Verb, uids: Sequence[str]) -> None:
        """Do it undisturbed to all of them."""
        asked = [self.hands.submit(ask, self.client, verb, uid, self.image, self.seconds) for uid in uids]
        self.assert_ended_well(Pinned("undisturbed", uid, each) for uid, each in zip(uids, asked, strict=True))

    def get(self, uid: str) -> instance_pb2.Instance:
        return self.client.get(f"instances/{uid}")

    def pin_one(self, verb: Verb, uid: str, point: str) -> Pinned:
        """Begin `verb` on this instance and wait until it is held."""
        self.arena.arm(point)
        accepted = self.hands.submit(ask, self.client, verb, uid, self.image, self.seconds)
        try:
            self.arena.wait_until_held(point, accepted)
        except AssertionError as error:
            now = told(self.client.operations.GetOperation(GetOperationRequest(name=accepted.result(0).name)))
            raise AssertionError(f"{error}: {now}") from None
        return Pinned(point, uid, accepted)


@contextlib.contextmanager
def field_of(arena: Arena, image: Path, urls: Mapping[str, str] | None = None) -> Iterator[Field]:
    """A running arena with an image in it."""
    with arena:
        client = Client(arena.addresses["api_svc"])
        imported = client.import_image(image).name
        try:
            yield Field(arena, client, Scene(arena.data, of(arena), urls or {}), imported)
        finally:
            client.close()


@contextlib.contextmanager
def field_on(cluster: Cluster, image: Path) -> Iterator[Field]:
    """The same, every database on PostgreSQL."""
    with contextlib.ExitStack() as stack:
        urls = {name: stack.enter_context(cluster.database()) for name in ("api", "image", "netblock")}
        settings = {f"PROTOSTAR_{name.upper()}_DATABASE_URL": url for name, url in urls.items()}
        yield stack.enter_context(field_of(Arena(settings=settings), image, urls))
