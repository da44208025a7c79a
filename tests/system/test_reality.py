"""What happens to a guest behind Protostar's back: it is seen as it happens, and answered by the instance's policy."""

from __future__ import annotations

import os
import signal
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.longrunning import operations_pb2
from google.protobuf.field_mask_pb2 import FieldMask
from protostar.api.v1 import instance_pb2 as ip
from protostar.api.v1 import instance_service_pb2 as svc

from tests.chaos import tiny_guest
from tests.client import Client, metadata
from tests.libvirtd import virsh
from tests.system.processes import guest_pid

# Far less than the minute between two full comparisons: what is seen by then, an event has told.
SOON = 15.0
LATER = 40.0  # a guest that dies just after it was started is started again ten seconds later
on_libvirtd = pytest.mark.parametrize("backend", ["system"], indirect=True)


@pytest.fixture(scope="module")
def image(client: Client, tmp_path_factory: pytest.TempPathFactory) -> str:
    return client.import_image(tiny_guest.make(tmp_path_factory.mktemp("image") / "tiny.qcow2")).name


@pytest.fixture
def guest(client: Client, image: str) -> Iterator[ip.Instance]:
    """A guest that has said its word."""
    created = client.finish(client.create(image, flavor=ip.Flavor(vcpus=1, memory_mib=32)), ip.Instance)
    said(client, created, times=1)
    yield created
    client.wait(client.delete(created.name))


def test_a_guest_that_dies_is_seen_and_can_be_started(client: Client, guest: ip.Instance) -> None:
    os.kill(guest_pid(guest.uid), signal.SIGKILL)
    seen = becomes(client, guest, vm_state=ip.VM_STATE_STOPPED)
    assert seen.power_state in (ip.POWER_STATE_SHUTDOWN, ip.POWER_STATE_CRASHED)
    assert seen.power_state_observed_at.ToNanoseconds() > guest.power_state_observed_at.ToNanoseconds()
    client.finish(client.start(guest.name), svc.StartInstanceResponse)
    said(client, guest, times=2)
    becomes(client, guest, vm_state=ip.VM_STATE_ACTIVE, power_state=ip.POWER_STATE_RUNNING)


def test_a_guest_that_dies_is_started_again_if_its_policy_says_so(client: Client, guest: ip.Instance) -> None:
    policy = ip.InstancePolicy(on_unexpected_stop=ip.UNEXPECTED_STOP_POLICY_RESTART)
    wanted = ip.Instance(name=guest.name, policy=policy)
    client.instances.UpdateInstance(
        svc.UpdateInstanceRequest(
            instance=wanted, update_mask=FieldMask(paths=["policy"]), request_id=str(uuid.uuid4())
        )
    )
    os.kill(guest_pid(guest.uid), signal.SIGKILL)
    said(client, guest, times=2, seconds=LATER)
    seen = becomes(client, guest, task_state=ip.TASK_STATE_NONE, power_state=ip.POWER_STATE_RUNNING)
    assert seen.vm_state == ip.VM_STATE_ACTIVE
    listing = operations_pb2.ListOperationsRequest(filter=f'target = "{guest.name}" AND verb = "START"')
    (started,) = client.operations.ListOperations(listing).operations
    assert metadata(started).actor == "system"


@on_libvirtd
def test_a_start_by_somebody_else_is_adopted(client: Client, guest: ip.Instance) -> None:
    client.finish(client.stop(guest.name, mode=svc.STOP_MODE_FORCE), svc.StopInstanceResponse)
    virsh("start", guest.uid)
    becomes(client, guest, vm_state=ip.VM_STATE_ACTIVE, power_state=ip.POWER_STATE_RUNNING)


@on_libvirtd
def test_a_pause_is_told_and_changes_nothing_else(client: Client, guest: ip.Instance) -> None:
    virsh("suspend", guest.uid)
    assert becomes(client, guest, power_state=ip.POWER_STATE_PAUSED).vm_state == ip.VM_STATE_ACTIVE
    virsh("resume", guest.uid)
    assert becomes(client, guest, power_state=ip.POWER_STATE_RUNNING).vm_state == ip.VM_STATE_ACTIVE


@on_libvirtd
def test_a_reboot_by_somebody_else_is_not_taken_for_a_stop(client: Client, guest: ip.Instance) -> None:
    virsh("destroy", guest.uid)
    virsh("start", guest.uid)
    seen = set()
    until = time.monotonic() + 5
    while time.monotonic() < until:
        seen.add(client.get(guest.name).vm_state)
        time.sleep(0.05)
    assert seen == {ip.VM_STATE_ACTIVE}
    said(client, guest, times=2)


@on_libvirtd
def test_a_domain_that_is_not_ours_is_nobodys_business(client: Client, guest: ip.Instance, tmp_path: Path) -> None:
    stranger = str(uuid.uuid4())
    definition = tmp_path / "stranger.xml"
    definition.write_text(
        f"<domain type='qemu'><name>stranger-{stranger}</name><uuid>{stranger}</uuid><memory unit='MiB'>32</memory>"
        "<os><type arch='x86_64'>hvm</type></os></domain>"
    )
    virsh("define", str(definition))
    try:
        virsh("start", stranger)
        client.finish(client.reboot(guest.name, mode=svc.REBOOT_MODE_HARD), svc.RebootInstanceResponse)
        listed = client.instances.ListInstances(svc.ListInstancesRequest()).instances
        assert stranger not in {each.uid for each in listed}
        assert virsh("domstate", stranger).strip() == "running"
    finally:
        virsh("destroy", stranger)
        virsh("undefine", stranger)


def becomes(client: Client, guest: ip.Instance, seconds: float = SOON, **fields: int) -> ip.Instance:
    """The instance, once these fields are so."""
    deadline = time.monotonic() + seconds
    while True:
        seen = client.get(guest.name)
        if all(getattr(seen, field) == value for field, value in fields.items()):
            return seen
        assert time.monotonic() < deadline, seen
        time.sleep(0.05)


def said(client: Client, guest: ip.Instance, times: int, seconds: float = SOON) -> None:
    """The guest has been booted so often, by its own word."""
    client.console_after(guest.name, tiny_guest.SAYS.decode(), boots=times, seconds=seconds)
