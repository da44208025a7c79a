"""design.md §7 as questions to what lies there when everything has settled: databases, journals, files, hypervisor.

Each check yields what is wrong, in words; nothing is the good answer. None of them asks a service whether it is well.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import create_engine, text

# A clock's grain, and the time that the last write takes.
_DEADLINE_GRACE = 2.0
# What is in instances_path beside the folders of instances.
_OURS = {"_base", "_journal", "locks"}
_TEMPORARY = (".part", ".converted", ".new", ".tmp", ".kept")


class Hypervisor(Protocol):
    """What libvirt's side looks like from outside."""

    def defined(self) -> set[str]:
        """Instances that have a domain."""

    def running(self) -> set[str]:
        """Instances whose guest runs."""

    def wrong(self) -> Iterator[str]:
        """What is wrong there whatever the instances are: strays, and strangers that were touched."""


@dataclass(frozen=True)
class Scene:
    """Where to look. Databases are SQLAlchemy URLs of synchronous drivers."""

    data: Path
    hypervisor: Hypervisor
    urls: Mapping[str, str] = field(default_factory=dict)

    def rows(self, database: str, query: str) -> list[Any]:
        """Rows of one of the services' databases: api, image or netblock."""
        engine = create_engine(self.urls.get(database, f"sqlite:///{self.data / database}.sqlite3"))
        try:
            with engine.connect() as connection:
                return list(connection.execute(text(query)))
        finally:
            engine.dispose()


def settle(scene: Scene, seconds: float = 75) -> None:
    """Wait until every invariant holds; what still does not by then fails, all of it.

    The last net under all others is the hosts' comparison, once a minute.
    """
    deadline = time.monotonic() + seconds
    while wrong := sorted(violations(scene)):
        assert time.monotonic() < deadline, "\n".join(["after everything settled:", *wrong])
        time.sleep(0.2)


def violations(scene: Scene) -> list[str]:
    """Everything that is wrong."""
    states = {row.uid: row.vm_state for row in scene.rows("api", "SELECT uid, vm_state FROM instances")}
    alive = {uid for uid, state in states.items() if state != "DELETED"}
    return [
        *_operations(scene),
        *_events(scene),
        *_instances(scene),
        *_powers(scene, states),
        *_resources(scene, alive),
        *_files(scene, alive),
        *_images(scene),
        *_journals(scene, alive),
        *scene.hypervisor.wrong(),
    ]


def _operations(scene: Scene) -> Iterator[str]:
    query = "SELECT uid, verb, state, lease_owner, deadline, end_time, target, generation, no_op FROM operations"
    generations: set[tuple[str, int]] = set()
    for row in scene.rows("api", query):
        if row.state in ("QUEUED", "RUNNING"):
            yield f"operation {row.uid} ({row.verb}) is {row.state}"
            continue
        if row.lease_owner is not None:
            yield f"operation {row.uid} ended, and {row.lease_owner} holds its lease"
        if _seconds(row.end_time) > _seconds(row.deadline) + _DEADLINE_GRACE:
            yield f"operation {row.uid} ({row.verb}) ended at {row.end_time}, its deadline was {row.deadline}"
        if row.target.startswith("instances/") and not row.no_op and row.verb not in ("UPDATE", "LOCK", "UNLOCK"):
            if (row.target, row.generation) in generations:
                yield f"{row.target} has two operations of generation {row.generation}"
            generations.add((row.target, row.generation))


def _events(scene: Scene) -> Iterator[str]:
    """Each operation on an instance began once and ended once, in that order."""
    told: dict[str, list[str]] = {}
    for row in scene.rows("api", "SELECT operation, type FROM events WHERE operation <> '' ORDER BY seq"):
        told.setdefault(row.operation.removeprefix("operations/"), []).append(row.type.rpartition(".")[2])
    query = "SELECT uid FROM operations WHERE verb IN ('CREATE', 'DELETE', 'START', 'STOP', 'REBOOT') AND NOT no_op"
    for row in scene.rows("api", query):
        if told.get(row.uid) not in (["start", "end"], ["start", "error"]):
            yield f"operation {row.uid} has the events {told.get(row.uid)}"


def _instances(scene: Scene) -> Iterator[str]:
    for row in scene.rows("api", "SELECT uid, task_state, current_operation FROM instances"):
        if row.task_state != "NONE" or row.current_operation:
            yield f"instance {row.uid} is {row.task_state}, held by {row.current_operation!r}"


def _powers(scene: Scene, states: Mapping[str, str]) -> Iterator[str]:
    running, defined = scene.hypervisor.running(), scene.hypervisor.defined()
    for uid, state in states.items():
        if state in ("ACTIVE", "STOPPED") and (state == "ACTIVE") != (uid in running):
            yield f"instance {uid} is {state}, and its guest is {'on' if uid in running else 'off'}"
        if state == "DELETED" and uid in defined | running:
            yield f"instance {uid} is deleted, and libvirt still has its domain"
    yield from (f"libvirt has a domain of {uid}, which nobody knows" for uid in defined - set(states))
    query = "SELECT uid, vm_state, power_state FROM instances WHERE vm_state IN ('ACTIVE', 'STOPPED')"
    for row in scene.rows("api", query):
        if (row.power_state == "RUNNING") != (row.uid in running):
            yield f"instance {row.uid} has power_state {row.power_state}, and its guest is not so"


def _resources(scene: Scene, alive: set[str]) -> Iterator[str]:
    for row in scene.rows("netblock", "SELECT uid, instance, made_for_instance FROM ports"):
        if row.instance is not None and row.instance not in alive:
            yield f"port {row.uid} belongs to instance {row.instance}, which is gone"
        if row.instance is None and row.made_for_instance:
            yield f"port {row.uid} was made for an instance that gave it up"
    for row in scene.rows("netblock", "SELECT volume, instance FROM attachments"):
        if row.instance not in alive:
            yield f"volume {row.volume} is attached to instance {row.instance}, which is gone"
    volumes = {row.uid for row in scene.rows("netblock", "SELECT uid FROM volumes")}
    for path in (scene.data / "volumes").glob("*"):
        if path.stem not in volumes and path.name not in volumes:
            yield f"{path} is a volume that nobody knows"


def _files(scene: Scene, alive: set[str]) -> Iterator[str]:
    for folder in (scene.data / "instances").iterdir():
        if folder.name not in alive | _OURS:
            yield f"{folder} belongs to nobody"
    for path in scene.data.rglob("*"):
        if path.name.endswith(_TEMPORARY) and "libvirt" not in path.parts:
            yield f"{path} was left behind"


def _images(scene: Scene) -> Iterator[str]:
    known = {row.uid for row in scene.rows("image", "SELECT uid FROM images")}
    for path in (scene.data / "images").glob("*"):
        if path.is_file() and path.stem not in known and path.name not in known:
            yield f"{path} is an image that nobody knows"


def _journals(scene: Scene, alive: set[str]) -> Iterator[str]:
    for path in (scene.data / "instances/_journal").glob("*.json"):
        lines = path.read_bytes().splitlines()
        if not lines:
            continue  # a claim that the full disk did not take: nothing was done after it
        newest = json.loads(lines[-1])
        if newest["phase"] != "ENDED":
            yield f"the journal of {path.stem} says {newest['phase']} of {newest['operation']}"
        if newest["undo"]:
            yield f"the journal of {path.stem} could still undo {newest['undo']}"
        if newest["deleted"] == (path.stem in alive):
            yield f"the journal of {path.stem} says deleted={newest['deleted']}"


def _seconds(moment: Any) -> float:
    from datetime import UTC, datetime

    parsed = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
