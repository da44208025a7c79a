"""Many clients that do everything at once, and a killer among the services; seeded, so that a bad day can be had again.

(The seed fixes what clients and killer decide; how threads and processes interleave it cannot fix.)
"""

from __future__ import annotations

import contextlib
import random
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import grpc
from google.longrunning import operations_pb2
from protostar.api.v1 import operation_pb2 as op

from tests.chaos import tiny_guest
from tests.chaos.arena import ALL, Arena
from tests.chaos.invariants import Scene, violations
from tests.chaos.ledger import Ledger, Result
from tests.chaos.patience import ended, patiently, request, send, told
from tests.chaos.points import Verb
from tests.client import Client, metadata

# Refusals that are the right answer to somebody who comes too late or at the wrong moment.
_FAIR = (
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
)
_VERBS = {Verb.START: 5, Verb.STOP: 4, Verb.REBOOT: 4, Verb.SOFT_REBOOT: 1, Verb.CREATE: 3, Verb.DELETE: 3}
_DEADLINE_SECONDS = 90
_SETTLE_SECONDS = 120
_MOST_OWN = 4


@dataclass(frozen=True, kw_only=True)
class Weather:
    """How hard it blows on one backend."""

    libvirt_uri: str
    clients: int
    shared: int
    calm: tuple[float, float]
    verbs: dict[Verb, int]


WEATHER = {
    "test": Weather(libvirt_uri="test:///default", clients=6, shared=6, calm=(1.0, 5.0), verbs=_VERBS),
    "embed": Weather(
        libvirt_uri="qemu:///embed?root=ROOT",
        clients=3,
        shared=3,
        calm=(2.0, 7.0),
        # The tiny guest does not hear the power button, and a soft reboot would wait two minutes for it.
        verbs={verb: weight for verb, weight in _VERBS.items() if verb is not Verb.SOFT_REBOOT},
    ),
}


@dataclass
class Storm:
    """One storm on one backend."""

    arena: Arena
    scene: Scene
    weather: Weather
    seed: int
    image: str = ""
    ledger: Ledger = field(default_factory=Ledger)
    shared: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)
    consoles: dict[str, Path] = field(default_factory=dict)

    def blow(self, backend: str, seconds: float) -> Result:
        """Let it blow for so long, and count afterwards."""
        client = Client(self.arena.addresses["api_svc"])
        self.shared = [self._create(client) for _ in range(self.weather.shared)]
        lives = [partial(self._live, number) for number in range(self.weather.clients)]
        threads = [threading.Thread(target=self._told, args=(life,)) for life in (*lives, self._canary, self._witness)]
        for thread in threads:
            thread.start()
        self._kill_for(seconds)
        self.over.set()
        for thread in threads:
            thread.join()
        result = self._count(backend, client, seconds)
        client.close()
        return result

    def _told(self, life: Callable[[], None]) -> None:
        try:
            life()
        except Exception as error:
            self.ledger.complain(f"a client gave up: {error!r}")

    # --- clients ---

    def _live(self, number: int) -> None:
        """One client: does this and that to its own instances and to everybody's, and mostly waits for the end."""
        dice = random.Random(f"{self.seed}/{number}")
        client = Client(self.arena.addresses["api_svc"])
        own: list[str] = []
        while not self.over.is_set():
            verb = dice.choices(list(self.weather.verbs), list(self.weather.verbs.values()))[0]
            uid = self._choose(dice, verb, own)
            if uid is None:
                continue
            patient, repeats, cancels = dice.random() < 0.7, dice.random() < 0.2, dice.random() < 0.1
            with self._fairly(verb, uid):
                operation = self._ask(client, verb, uid, repeats=repeats)
                if cancels:
                    self._cancel(client, operation)
                elif patient:
                    self._follow(client, operation)
            self.over.wait(dice.uniform(0, 0.3))
        client.close()

    def _choose(self, dice: random.Random, verb: Verb, own: list[str]) -> str | None:
        if verb is Verb.CREATE:
            if len(own) >= _MOST_OWN:
                return None
            own.append(str(uuid.UUID(int=dice.getrandbits(128), version=4)))
            return own[-1]
        if verb is Verb.DELETE:
            return own.pop(dice.randrange(len(own))) if own else None
        return dice.choice(own + self.shared)

    def _ask(self, client: Client, verb: Verb, uid: str, *, repeats: bool) -> operations_pb2.Operation:
        wanted = request(verb, uid, self.image, _DEADLINE_SECONDS)
        operation = send(client, wanted)
        self.ledger.acknowledge(f"{verb} {uid}", operation)
        if repeats and (again := send(client, wanted)).name != operation.name:
            self.ledger.complain(f"{verb} {uid}: one request made {operation.name} and {again.name}")
        return operation

    def _cancel(self, client: Client, operation: operations_pb2.Operation) -> None:
        cancel = operations_pb2.CancelOperationRequest(name=operation.name)
        patiently(lambda: client.operations.CancelOperation(cancel, timeout=10))

    def _follow(self, client: Client, operation: operations_pb2.Operation) -> None:
        done = ended(client, operation, _DEADLINE_SECONDS + 60)
        if not done.HasField("error"):
            self.ledger.worked()

    def _canary(self) -> None:
        """Starts and stops an instance of its own without a break, so that there is always something to recover."""
        client = Client(self.arena.addresses["api_svc"])
        uid = self._create(client)
        while not self.over.is_set():
            for verb in (Verb.STOP, Verb.START):
                with self._fairly(verb, uid):
                    self._follow(client, self._ask(client, verb, uid, repeats=False))
        client.close()

    @contextlib.contextmanager
    def _fairly(self, verb: Verb, uid: str) -> Iterator[None]:
        try:
            yield
        except grpc.RpcError as error:
            if error.code() not in _FAIR:
                self.ledger.complain(f"{verb} {uid}: {error.code()} {error.details()}")
        except AssertionError as error:
            self.ledger.complain(f"{verb} {uid}: {error}")

    def _create(self, client: Client) -> str:
        uid = str(uuid.uuid4())
        self._follow(client, self._ask(client, Verb.CREATE, uid, repeats=False))
        return uid

    # --- the killer ---

    def _kill_for(self, seconds: float) -> None:
        dice = random.Random(f"{self.seed}/killer")
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            time.sleep(min(left, dice.uniform(*self.weather.calm)))
            hit = dice.random()
            if hit < 0.2:
                self._freeze(dice.choice(ALL), dice.uniform(0.5, 8.0))
            else:
                self._kill(ALL if hit < 0.3 else (dice.choice(ALL),))
            if dice.random() < 0.8:
                self._wait_for_recovery(until)

    def _kill(self, names: tuple[str, ...]) -> None:
        self.ledger.killed()
        self.arena.fell(names)
        self.arena.launch(*names)

    def _freeze(self, name: str, seconds: float) -> None:
        self.ledger.froze()
        self.arena.freeze(name)
        time.sleep(seconds)
        self.arena.thaw(name)

    def _wait_for_recovery(self, until: float) -> None:
        while self.ledger.recovering and time.monotonic() < until:
            time.sleep(0.05)

    # --- the witness ---

    def _witness(self) -> None:
        """Keeps a second name for every console: what a guest said is still to be read when it is deleted."""
        folder = self.arena.folder / "consoles"
        folder.mkdir()
        while not self.over.wait(0.05):
            self._look_at_consoles(folder)

    def _look_at_consoles(self, folder: Path) -> None:
        for console in (self.arena.data / "instances").glob("*/console.log"):
            uid = console.parent.name
            if uid not in self.consoles:
                with contextlib.suppress(FileNotFoundError, FileExistsError):
                    (folder / uid).hardlink_to(console)
                    self.consoles[uid] = folder / uid

    # --- the count ---

    def _count(self, backend: str, client: Client, seconds: float) -> Result:
        wrong = list(self.ledger.unexpected)
        wrong += [f"{name} died by itself" for name in self.arena.fallen()]
        for name in ALL:
            self.arena.wait_until_serving(name)
        ends, lost, late = self._ends(client)
        wrong += self._failures(ends)
        unsettled = self._unsettled()
        stuck = [line for line in unsettled if "held by" in line]
        consoles = [path.read_bytes() for path in self.consoles.values()]
        return Result(
            backend=backend,
            seconds=seconds,
            kills=self.ledger.kills,
            freezes=self.ledger.freezes,
            accepted=len(self.ledger.accepted),
            ended=len(ends),
            lost=len(lost),
            boots=sum(sum(tiny_guest.boots(console).values()) for console in consoles),
            doubled=sum(tiny_guest.doubled(console) for console in consoles),
            stuck=len(late) + len(stuck),
            longest_recovery_s=max(self.ledger.recoveries, default=0.0),
            wrong=tuple(wrong + lost + late + unsettled),
        )

    def _ends(self, client: Client) -> tuple[list[operations_pb2.Operation], list[str], list[str]]:
        """Operations that have ended, those that nobody knows any more, and those that are late."""
        ends, lost, late = [], [], []
        for name, what in self.ledger.accepted.items():
            try:
                ends.append(ended(client, operations_pb2.Operation(name=name), _DEADLINE_SECONDS + 30))
            except grpc.RpcError as error:
                lost.append(f"{what}: {name} {error.code()} {error.details()}")
            except AssertionError as error:
                late.append(f"{what}: {error}")
        return ends, lost, late

    def _failures(self, ends: list[operations_pb2.Operation]) -> list[str]:
        """Operations that failed, though everything that was killed came back well before their deadlines."""
        failed = [operation for operation in ends if operation.HasField("error")]
        return [told(each) for each in failed if metadata(each).state == op.OPERATION_STATE_FAILED]

    def _unsettled(self) -> list[str]:
        until = time.monotonic() + _SETTLE_SECONDS
        while (wrong := violations(self.scene)) and time.monotonic() < until:
            time.sleep(1.0)
        return wrong


def image_for(backend: str, folder: Path) -> Path:
    """Something to boot."""
    path = folder / f"{backend}.qcow2"
    if backend == "test":
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", path, "1M"], check=True)
        return path
    return tiny_guest.make(path)
