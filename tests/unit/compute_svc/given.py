"""Guests and hosts for the tests of compute_svc's domain, as plain as they can be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from compute_svc.domain import disks, domain_xml
from compute_svc.domain.disks import DiskPlan
from compute_svc.domain.domain_xml.inputs import Inputs
from compute_svc.domain.model import (
    BlockDeviceInfo,
    ConnectionInfo,
    DiskFacts,
    DomainPaths,
    DomainType,
    FixedIp,
    Flavor,
    HostCaps,
    InstanceSpec,
    LocalConnection,
    Vif,
    VifKind,
    VifNetwork,
    VifSubnet,
    VolumeBlockDevice,
)

UID = "6f1d2c3b-0a4e-4f5b-9c8d-1e2f3a4b5c6d"
IMAGE = "155d900f-4e14-4e4c-a73d-069cbf4541e6"
INSTANCE_DIR = f"/var/lib/protostar/instances/{UID}"
PATHS = DomainPaths(instance_dir=INSTANCE_DIR, console_log=f"{INSTANCE_DIR}/console.log")
KVM = HostCaps(domain_type=DomainType.KVM)
EMBEDDED = HostCaps(domain_type=DomainType.QEMU, vnc=False, embedded=True)


def a_spec(
    properties: Mapping[str, str] | None = None,
    *,
    vcpus: int = 1,
    ephemeral_gib: int = 0,
    swap_mib: int = 0,
    root_gib: int = 1,
    disk_format: str = "qcow2",
    config_drive: bool = True,
    display_name: str = "web-1",
    user_data: bytes = b"",
    metadata: Mapping[str, str] | None = None,
) -> InstanceSpec:
    """A small guest with a config drive."""
    return InstanceSpec(
        uid=UID,
        display_name=display_name,
        project="acme",
        user="ann",
        flavor=Flavor(vcpus=vcpus, memory_mib=256, root_gib=root_gib, ephemeral_gib=ephemeral_gib, swap_mib=swap_mib),
        image=IMAGE,
        image_properties=properties or {},
        image_disk_format=disk_format,
        config_drive=config_drive,
        user_data=user_data,
        metadata=metadata or {},
    )


def a_volume(
    number: int = 1,
    device: str = "",
    *,
    boot_index: int = -1,
    bus: str = "",
    device_type: str = "",
    access_mode: str = "rw",
    connected: bool = True,
) -> VolumeBlockDevice:
    """A file volume; its number makes its id."""
    volume_id = f"{number:08d}-1111-4222-8333-444444444444"
    connection = ConnectionInfo(
        driver_volume_type="local",
        serial=volume_id,
        local=LocalConnection(
            device_path=f"/var/lib/protostar/volumes/{volume_id}", format="raw", access_mode=access_mode
        ),
    )
    return VolumeBlockDevice(
        volume_id=volume_id,
        mount_device=device,
        volume_size_gib=10,
        boot_index=boot_index,
        disk_bus=bus,
        device_type=device_type,
        connection_info=connection if connected else None,
    )


def a_vif(
    kind: VifKind = VifKind.USER, number: int = 1, subnets: Sequence[VifSubnet] | None = None, mtu: int = 1500
) -> Vif:
    """A port of a network of this kind; its number makes its id and its address."""
    port = f"{number:08x}-aaaa-4bbb-8ccc-dddddddddddd"
    cidr = VifSubnet(
        cidr="10.7.0.32/27",
        gateway="10.7.0.33",
        dns=("10.7.0.34",),
        ips=(FixedIp(address="10.7.0.47"),),
    )
    return Vif(
        id=port,
        address=f"fa:16:3e:00:00:{number:02x}",
        type=kind,
        devname=f"tap{port[:11]}",
        ovs_interfaceid=port,
        network=VifNetwork(
            id="99999999-8888-4777-8666-555555555555",
            bridge={VifKind.BRIDGE: "br0", VifKind.NETWORK: "default", VifKind.OVS: "br-int"}.get(kind, ""),
            label="private",
            mtu=mtu,
            subnets=tuple(subnets) if subnets is not None else (cidr,),
        ),
    )


def facts_of(plan: DiskPlan) -> list[DiskFacts]:
    """What image_svc would say of the local disks of a plan."""
    return [
        DiskFacts(
            name=disk.name,
            path=f"{INSTANCE_DIR}/{disk.name}",
            type="raw" if disk.type == "cdrom" else "qcow2",
            virtual_size=disk.size_bytes,
        )
        for disk in plan.disks
        if disk.name
    ]


@dataclass(frozen=True, kw_only=True)
class Guest:
    """All that a domain is built from."""

    spec: InstanceSpec
    block_devices: BlockDeviceInfo = field(default_factory=BlockDeviceInfo)
    vifs: tuple[Vif, ...] = ()
    host: HostCaps = KVM

    def plan(self) -> DiskPlan:
        """Its disks."""
        return disks.assign(self.spec, self.block_devices, self.host)

    def inputs(self) -> Inputs:
        """What the parts of its domain read."""
        plan = self.plan()
        return Inputs.of(self.spec, plan, facts_of(plan), self.vifs, self.block_devices.volumes, self.host, PATHS)

    def xml(self) -> str:
        """Its domain."""
        plan = self.plan()
        return domain_xml.build(
            self.spec, plan, facts_of(plan), self.vifs, self.block_devices.volumes, self.host, PATHS
        )
