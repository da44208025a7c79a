"""The story of one guest, told through the public API and checked from outside: its console, its files, its trace.

    import an image → create (with a volume, swap, metadata, user data) → stop → start → force stop → delete

The story runs once per backend; each test looks at another side of it.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from google.longrunning import operations_pb2
from google.protobuf.duration_pb2 import Duration
from protostar.api.v1 import instance_pb2 as ip
from protostar.api.v1 import instance_service_pb2 as svc
from protostar.api.v1 import operation_pb2 as op
from protostar.api.v1 import volume_pb2

from tests.client import Client, by_last_boot, flat, guest_says, metadata, steps
from tests.stack import Stack
from tests.system.processes import guest_pid

METADATA = {"role": "web", "colour": "blue-green"}
USER_DATA = b"#!/bin/sh\necho hello from user data\n" * 20
READY = "protostar-guest: ready"
START_STEPS = ["claim", "network_info", "block_device_info", "destroy", "undefine", "instance_dir", "disk_info"]
START_STEPS += ["backing", "config_drive", "xml", "define", "launch", "running"]


@dataclass
class Story:
    """What was seen at each turn."""

    image: str
    volume: volume_pb2.Volume
    created: ip.Instance
    console: dict[str, str] = field(default_factory=dict)
    operations: dict[str, operations_pb2.Operation] = field(default_factory=dict)
    files: dict[str, dict[str, tuple[int, ...]]] = field(default_factory=dict)
    instances: dict[str, ip.Instance] = field(default_factory=dict)
    stopped: svc.StopInstanceResponse | None = None


@pytest.fixture(scope="module")
def story(stack: Stack, client: Client, guest_image: Path, backend: str) -> Iterator[Story]:
    image = client.import_image(guest_image, hw_qemu_guest_agent="yes")
    volume = client.volumes.CreateVolume(
        volume_pb2.CreateVolumeRequest(volume=volume_pb2.Volume(display_name="data", size_gib=1))
    )
    operation = client.create(
        image.name,
        "Web 1",
        flavor=ip.Flavor(vcpus=1, memory_mib=256, root_gib=1, swap_mib=64),
        config_drive=True,
        user_data=USER_DATA,
        metadata=METADATA,
        volumes=[ip.InstanceVolume(volume=volume.name)],
    )
    created = client.finish(operation, ip.Instance)
    told = Story(image.uid, volume, created)

    def look(turn: str, done: operations_pb2.Operation) -> None:
        told.operations[turn] = client.wait(done)
        told.instances[turn] = client.get(created.name)
        told.files[turn] = _files(stack, backend, created.uid)

    told.console["create"] = client.console_after(created.name, READY, boots=1)
    look("create", operation)
    stopping = client.stop(created.name, grace_period=Duration(seconds=60))
    told.stopped = client.finish(stopping, svc.StopInstanceResponse)
    look("stop", stopping)
    starting = client.start(created.name)
    client.finish(starting, svc.StartInstanceResponse)
    look("start", starting)
    told.console["start"] = client.console_after(created.name, READY, boots=2)
    yield told


def _files(stack: Stack, backend: str, uid: str) -> dict[str, tuple[int, ...]]:
    """Every file of design.md's table, with what tells that it was changed."""
    run, etc = (stack.folder / "data/libvirt/lib/qemu", stack.folder / "data/libvirt/etc/qemu")
    if backend == "system":
        run, etc = Path("/var/lib/libvirt/qemu"), Path("/etc/libvirt/qemu")
    instances = stack.folder / "data/instances"
    found: dict[str, tuple[int, ...]] = {}
    for label, paths in {
        "run": run.glob(f"domain-*-{f'instance-{uid}'[:20]}"),  # libvirt shortens a long name
        "etc": etc.glob(f"*{uid}*.xml"),
        "instance": (instances / uid).glob("*"),
        "base": (instances / "_base").glob("*"),
    }.items():
        for path in paths:
            status = path.stat()
            found[f"{label}/{path.name}"] = (status.st_ino, status.st_mtime_ns, status.st_size)
    return found


def _kinds(files: dict[str, tuple[int, ...]], label: str) -> dict[str, tuple[int, ...]]:
    return {name: seen for name, seen in files.items() if name.startswith(label + "/")}


def test_the_guest_says_who_it_is_and_what_it_was_given(story: Story) -> None:
    said = set(guest_says(story.console["create"]))
    assert {"hello from web-1", "hostname web-1", f"uuid {story.created.uid}", "boot 1"} <= said
    assert flat(METADATA) <= said
    digest = hashlib.sha256(USER_DATA).hexdigest()
    assert f"user-data size={len(USER_DATA)} sha256={digest}" in said
    assert any(line.startswith("network-data size=") for line in said)


def test_its_address_is_the_allocated_one(story: Story) -> None:
    (port,) = story.created.ports
    assert port.mac_address and port.ip_addresses
    (address,) = [line for line in guest_says(story.console["create"]) if line.startswith("address eth0")]
    assert address.split()[2:] == [port.mac_address, f"{port.ip_addresses[0]}/27"]


def test_its_disks_have_the_sizes_and_serials_asked_for(story: Story) -> None:
    disks = [line.split()[1:] for line in guest_says(story.console["create"]) if line.startswith("disk vd")]
    serials = {serial.removeprefix("serial=") for _, _, serial in disks}
    assert sorted(int(size) for _, size, _ in disks) == sorted([2**30, 64 * 2**20, 2**30])
    assert len(serials) == 3 and "" not in serials
    assert story.volume.uid[:20] in serials, "a volume is known by its uid, of which virtio shows 20 characters"


def test_stop_was_graceful_and_says_so(story: Story) -> None:
    assert story.stopped is not None
    assert story.stopped.outcome == svc.STOP_OUTCOME_GUEST_STOPPED
    after = story.instances["stop"]
    assert (after.vm_state, after.task_state) == (ip.VM_STATE_STOPPED, ip.TASK_STATE_NONE)
    assert after.power_state == ip.POWER_STATE_SHUTDOWN
    assert "power button" in story.console["start"]


def test_start_brings_it_back_with_everything(story: Story) -> None:
    after = story.instances["start"]
    assert (after.vm_state, after.task_state) == (ip.VM_STATE_ACTIVE, ip.TASK_STATE_NONE)
    assert after.power_state == ip.POWER_STATE_RUNNING
    assert after.generation > story.instances["stop"].generation > story.created.generation
    said = set(guest_says(by_last_boot(story.console["start"])))
    assert "boot 2" in said, "the disk was kept, and the guest booted exactly once more"
    assert flat(METADATA) <= said


def test_console_is_kept_across_starts(story: Story) -> None:
    assert story.console["start"].count("=== protostar: boot") == 2
    boots = [line for line in guest_says(story.console["start"]) if re.fullmatch(r"boot \d+", line)]
    assert boots == ["boot 1", "boot 2"]


def test_files_after_start_and_stop_are_those_of_the_table(story: Story) -> None:
    created, stopped, started = (story.files[turn] for turn in ("create", "stop", "start"))
    assert len(_kinds(created, "run")) == len(_kinds(started, "run")) == 1
    assert not _kinds(stopped, "run"), "a stop takes the run state away"
    assert len(_kinds(created, "etc")) == 1
    assert _kinds(stopped, "etc") == _kinds(created, "etc"), "a stop leaves the definition alone"
    assert _kinds(started, "etc") == _kinds(created, "etc"), "a fast start too"
    base = f"base/{hashlib.sha1(story.image.encode()).hexdigest()}"
    assert base in created
    for files in (stopped, started):
        assert files[base][::2] == created[base][::2], "the base is neither made anew nor written to"
    names = {"instance/disk", "instance/disk.swap", "instance/disk.config", "instance/console.log"}
    for files in (created, stopped, started):
        assert names <= set(_kinds(files, "instance"))
    for disk in ("instance/disk", "instance/disk.config"):
        assert stopped[disk][0] == started[disk][0], f"{disk} was not made anew"
    assert stopped["instance/disk.config"] == started["instance/disk.config"]


def test_operation_tells_every_step(story: Story) -> None:
    for turn in ("create", "start"):
        told = metadata(story.operations[turn])
        names = [step.name for step in told.steps if step.name in START_STEPS]
        assert sorted(names) == sorted(START_STEPS), f"each step once, in {turn}"
        assert told.state == op.OPERATION_STATE_SUCCEEDED and told.attempt == 1
        for step in told.steps:
            assert step.state in (op.STEP_STATE_DONE, op.STEP_STATE_SKIPPED), step
            assert step.start_time.ToNanoseconds() <= step.end_time.ToNanoseconds()
    start = steps(story.operations["start"])
    assert start["undefine"].state == start["define"].state == op.STEP_STATE_SKIPPED
    assert start["launch"].state == op.STEP_STATE_DONE


def test_trace_is_one_and_connected_over_all_services(story: Story, stack: Stack) -> None:
    trace_id = metadata(story.operations["start"]).trace_id
    spans = _spans_when_flushed(stack, trace_id)
    assert {span["service"] for span in spans} == {"api_svc", "compute_svc", "netblock_svc", "image_svc"}
    known = {span["spanId"]: span for span in spans}
    roots = [span for span in spans if span.get("parentSpanId") not in known]
    assert len(roots) == 1, [(span["name"], span["service"]) for span in roots]
    assert roots[0]["name"] == "protostar.api.v1.InstanceService/StartInstance"
    of_steps = {span["attributes"].get("protostar.step") for span in spans} - {None}
    done = {name for name, step in steps(story.operations["start"]).items() if step.state == op.STEP_STATE_DONE}
    assert done <= of_steps
    create = next(span for span in spans if span["name"] == "libvirt create")
    assert known[create["parentSpanId"]]["attributes"]["protostar.step"] == "launch"
    for name, step in (
        ("protostar.netblock.v1.InstanceResourceService/GetInstanceNetworkInfo", "network_info"),
        ("protostar.netblock.v1.InstanceResourceService/GetInstanceBlockDeviceInfo", "block_device_info"),
        ("protostar.image.v1.DiskService/EnsureDisks", "backing"),
    ):
        pair = [span for span in spans if span["name"] == name]
        client_side, server_side = sorted(pair, key=lambda span: str(span["service"]) != "compute_svc")
        assert server_side["parentSpanId"] == client_side["spanId"]
        assert known[client_side["parentSpanId"]]["attributes"]["protostar.step"] == step


def _spans_when_flushed(stack: Stack, trace_id: str) -> list[dict[str, Any]]:
    """Services send their spans every 200 ms."""
    deadline = time.monotonic() + 20
    while True:
        spans = stack.spans(trace_id)
        roots = [span for span in spans if span.get("parentSpanId") not in {s["spanId"] for s in spans}]
        if len(roots) == 1 or time.monotonic() > deadline:
            return spans
        time.sleep(0.1)


def test_killing_the_services_leaves_the_guest_running(story: Story, stack: Stack, client: Client) -> None:
    """Last but one, since it takes the services down and up again."""
    pid = guest_pid(story.created.uid)
    stack.kill("compute_svc")
    stack.kill("api_svc")
    assert guest_pid(story.created.uid) == pid
    stack.start("compute_svc", "api_svc")
    stack.wait_for_host()
    after = client.get(story.created.name)
    assert after.vm_state == ip.VM_STATE_ACTIVE
    assert client.console(story.created.name).count("=== protostar: boot") == 2


def test_delete_leaves_nothing(story: Story, stack: Stack, client: Client, backend: str) -> None:
    client.finish(client.stop(story.created.name, mode=svc.STOP_MODE_FORCE), svc.StopInstanceResponse)
    done = client.wait(client.delete(story.created.name))
    assert not done.HasField("error"), done.error
    left = _files(stack, backend, story.created.uid)
    assert not _kinds(left, "run") and not _kinds(left, "etc") and not _kinds(left, "instance")
    assert _kinds(left, "base"), "the base serves others"
    volume = client.volumes.GetVolume(volume_pb2.GetVolumeRequest(name=story.volume.name))
    assert not volume.HasField("attachment")
