"""Kinds of networks and volumes beyond the default ones, seen from the guest.

A host bridge (embedded libvirt, as root), a libvirt network (system libvirt), a raw volume, a config drive made again.
Nobody serves DHCP on these wires, and no packet is sent by the host: the guest takes the allocated address from its
config drive, and the bridge has learned the guest's MAC from what the guest itself has sent.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from protostar.api.v1 import instance_pb2 as ip
from protostar.api.v1 import instance_service_pb2 as svc
from protostar.api.v1 import network_pb2 as net
from protostar.api.v1 import operation_pb2 as op
from protostar.api.v1 import volume_pb2

from tests.client import Client, by_last_boot, guest_says, steps
from tests.stack import Stack

READY = "protostar-guest: ready"
CIDR = "198.51.100.0/24"  # RFC 5737: an example network that is nowhere else
BRIDGE = f"psbr{os.getpid()}"[:15]


@pytest.fixture(scope="module")
def network(backend: str, client: Client) -> Iterator[net.Network]:
    """A network of the backend's own kind, on a wire that this test made."""
    subnets = [net.Subnet(cidr=CIDR)]
    if backend == "embed":
        subprocess.run(["ip", "link", "add", BRIDGE, "type", "bridge"], check=True)
        subprocess.run(["ip", "link", "set", BRIDGE, "up"], check=True)
        wanted = net.Network(display_name="wire", kind=net.NETWORK_KIND_BRIDGE, bridge=BRIDGE, subnets=subnets)
    else:
        xml = f"<network><name>{BRIDGE}</name><bridge name='{BRIDGE}'/></network>"
        virsh = ["virsh", "-c", "qemu:///system"]
        subprocess.run([*virsh, "net-create", "/dev/stdin"], input=xml, text=True, check=True)
        wanted = net.Network(
            display_name="wire", kind=net.NETWORK_KIND_LIBVIRT, libvirt_network=BRIDGE, subnets=subnets
        )
    try:
        yield client.networks.CreateNetwork(net.CreateNetworkRequest(network=wanted))
    finally:
        if backend == "embed":
            subprocess.run(["ip", "link", "del", BRIDGE], check=True)
        else:
            subprocess.run([*virsh, "net-destroy", BRIDGE], check=True)


@dataclass
class Seen:
    """The guest's words at its first and second boot, and what it was given."""

    instance: ip.Instance
    volume: volume_pb2.Volume
    first: str
    second: str
    config_drive_step: op.Step


@pytest.fixture(scope="module")
def seen(stack: Stack, client: Client, network: net.Network, guest_image: Path) -> Iterator[Seen]:
    image = client.import_image(guest_image)
    wanted = volume_pb2.Volume(display_name="raw", size_gib=1, format="raw")
    volume = client.volumes.CreateVolume(volume_pb2.CreateVolumeRequest(volume=wanted))
    creating = client.create(
        image.name,
        "wired",
        config_drive=True,
        metadata={"turn": "one"},
        ports=[ip.InstancePort(network=network.name)],
        volumes=[ip.InstanceVolume(volume=volume.name)],
    )
    instance = client.finish(creating, ip.Instance)
    first = client.console_after(instance.name, READY, boots=1)
    _bridge_learns(instance.ports[0].mac_address)
    client.finish(client.stop(instance.name, mode=svc.STOP_MODE_FORCE), svc.StopInstanceResponse)
    (stack.folder / f"data/instances/{instance.uid}/disk.config").unlink()
    changed = ip.Instance(name=instance.name, metadata={"turn": "two"})
    client.instances.UpdateInstance(svc.UpdateInstanceRequest(instance=changed))
    starting = client.start(instance.name)
    client.finish(starting, svc.StartInstanceResponse)
    second = by_last_boot(client.console_after(instance.name, READY, boots=2))
    yield Seen(instance, volume, first, second, steps(client.wait(starting))["config_drive"])
    client.wait(client.delete(instance.name))


def _bridge_learns(mac: str) -> None:
    """The bridge's forwarding table has the guest's MAC, learned from a frame that the guest sent."""
    deadline = time.monotonic() + 30
    while True:
        known = subprocess.run(
            ["bridge", "fdb", "show", "br", BRIDGE], check=True, capture_output=True, text=True
        ).stdout
        if any(line.startswith(mac) and "permanent" not in line for line in known.splitlines()):
            return
        assert time.monotonic() < deadline, f"{mac} was not heard on {BRIDGE}:\n{known}"
        time.sleep(0.2)


def test_the_guest_has_the_allocated_address_on_the_wire(seen: Seen) -> None:
    (port,) = seen.instance.ports
    for words in (seen.first, seen.second):
        (address,) = [line for line in guest_says(words) if line.startswith("address eth0")]
        assert address.split()[2:] == [port.mac_address, f"{port.ip_addresses[0]}/24"]


def test_a_raw_volume_reaches_the_guest(seen: Seen) -> None:
    disks = [line.split()[2:] for line in guest_says(seen.first) if line.startswith("disk vd")]
    assert [str(2**30), f"serial={seen.volume.uid[:20]}"] in disks


def test_a_missing_config_drive_is_made_again_and_says_what_the_instance_is_now(seen: Seen) -> None:
    assert seen.config_drive_step.state == op.STEP_STATE_DONE
    assert "metadata turn=one" in guest_says(seen.first)
    assert "metadata turn=two" in guest_says(seen.second)
    assert "metadata turn=one" not in guest_says(seen.second)
