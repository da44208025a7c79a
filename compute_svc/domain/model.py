"""The values that compute_svc thinks in. Field names and units are those of the protos. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum


@dataclass(frozen=True, kw_only=True)
class Flavor:
    """The size of an instance; 0 GiB of root means the image's own size."""

    vcpus: int
    memory_mib: int
    root_gib: int = 0
    ephemeral_gib: int = 0
    swap_mib: int = 0


@dataclass(frozen=True, kw_only=True)
class InstanceSpec:
    """What an instance is, not how it is doing."""

    uid: str
    display_name: str
    project: str
    user: str
    flavor: Flavor
    image: str
    image_properties: Mapping[str, str] = field(default_factory=dict)
    image_disk_format: str = "qcow2"
    config_drive: bool = False
    user_data: bytes = b""
    metadata: Mapping[str, str] = field(default_factory=dict)


class VifKind(StrEnum):
    """How a VIF is plugged: QEMU's user network, a Linux bridge, a libvirt network, a port of Open vSwitch."""

    USER = "user"
    BRIDGE = "bridge"
    NETWORK = "network"
    OVS = "ovs"


@dataclass(frozen=True, kw_only=True)
class FixedIp:
    """A fixed address, without prefix length."""

    address: str
    version: int = 4
    type: str = "fixed"


@dataclass(frozen=True, kw_only=True)
class VifSubnet:
    """A subnet of a VIF. On a USER network it is the port's own /27."""

    cidr: str
    version: int = 4
    gateway: str = ""
    dns: tuple[str, ...] = ()
    dhcp_server: str = ""
    ips: tuple[FixedIp, ...] = ()


@dataclass(frozen=True, kw_only=True)
class VifNetwork:
    """The network of a VIF; `bridge` is the bridge or libvirt network by the host's name, `mtu` is 0 for unknown."""

    id: str
    bridge: str = ""
    label: str = ""
    mtu: int = 0
    tenant_id: str = ""
    subnets: tuple[VifSubnet, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Vif:
    """A virtual interface (Nova: an element of network_info)."""

    id: str
    address: str
    type: VifKind
    network: VifNetwork
    vnic_type: str = "normal"
    devname: str = ""
    ovs_interfaceid: str = ""
    active: bool = True
    preserve_on_delete: bool = False
    profile: Mapping[str, str] = field(default_factory=dict)
    details: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ImageBlockDevice:
    """A disk made from an image; empty and 0 leave the choice to the host."""

    image_id: str
    device_name: str = ""
    size_gib: int = 0
    disk_bus: str = ""
    device_type: str = ""
    boot_index: int = 0


@dataclass(frozen=True, kw_only=True)
class EphemeralBlockDevice:
    """An empty disk."""

    size_gib: int
    device_name: str = ""
    disk_bus: str = ""
    device_type: str = ""
    guest_format: str = ""


@dataclass(frozen=True, kw_only=True)
class SwapBlockDevice:
    """A swap disk."""

    swap_size_mib: int
    device_name: str = ""
    disk_bus: str = ""


@dataclass(frozen=True, kw_only=True)
class LocalConnection:
    """A volume that is a file of this host."""

    device_path: str
    format: str
    access_mode: str = "rw"


@dataclass(frozen=True, kw_only=True)
class ConnectionInfo:
    """How this host reaches a volume; `local` is set when `driver_volume_type` is "local"."""

    driver_volume_type: str
    serial: str
    local: LocalConnection | None = None


@dataclass(frozen=True, kw_only=True)
class VolumeBlockDevice:
    """An attached volume; no `connection_info` means that the start is to be refused."""

    volume_id: str
    mount_device: str = ""
    volume_size_gib: int = 0
    attachment_id: str = ""
    boot_index: int = -1
    device_type: str = ""
    disk_bus: str = ""
    delete_on_termination: bool = False
    connection_info: ConnectionInfo | None = None


@dataclass(frozen=True, kw_only=True)
class BlockDeviceInfo:
    """What netblock_svc knows of an instance's disks (Nova: block_device_info)."""

    root_device_name: str = ""
    image: tuple[ImageBlockDevice, ...] = ()
    ephemerals: tuple[EphemeralBlockDevice, ...] = ()
    swap: SwapBlockDevice | None = None
    volumes: tuple[VolumeBlockDevice, ...] = ()


class DiskRole(StrEnum):
    """What a local disk is for."""

    ROOT = "root"
    EPHEMERAL = "ephemeral"
    SWAP = "swap"
    CONFIG = "config"


@dataclass(frozen=True, kw_only=True)
class WantedDisk:
    """A local disk that is to be there; 0 bytes of root means the image's own size."""

    name: str
    role: DiskRole
    size_bytes: int


@dataclass(frozen=True, kw_only=True)
class DiskFacts:
    """What is really on disk (nova-behaviour, section 4.1); sizes in bytes."""

    name: str
    path: str
    type: str
    virtual_size: int = 0
    disk_size: int = 0
    backing_file: str = ""
    over_committed_size: int = 0
    created: bool = False
    content_digest: str = ""


class DomainType(StrEnum):
    """libvirt's `<domain type=…>`."""

    KVM = "kvm"
    QEMU = "qemu"
    TEST = "test"


@dataclass(frozen=True, kw_only=True)
class HostCaps:
    """The facts of the host that a domain depends on, measured once at the edge.

    An empty `machine_types` means that it is not known what the emulator offers; aliases ("pc") are in it and stay
    aliases. `emulator` None leaves the choice to libvirt. Versions are libvirt's integers, 9000000 for 9.0.0.
    `direct_io` says whether O_DIRECT works wherever this host keeps disks.
    """

    domain_type: DomainType
    arch: str = "x86_64"
    machine_types: frozenset[str] = frozenset()
    emulator: str | None = None
    libvirt_version: int = 0
    hypervisor_version: int = 0
    direct_io: bool = True
    vnc: bool = True
    embedded: bool = False


@dataclass(frozen=True, kw_only=True)
class DomainPaths:
    """Where an instance's files are on this host; absolute."""

    instance_dir: str
    console_log: str


class PowerState(Enum):
    """What the hypervisor says; names are those of protostar.api.v1.PowerState without its prefix."""

    UNKNOWN = "UNKNOWN"
    NO_STATE = "NO_STATE"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    SHUTDOWN = "SHUTDOWN"
    CRASHED = "CRASHED"
    SUSPENDED = "SUSPENDED"
