"""Which disk sits where: nova-behaviour, sections 3.2 to 3.4 and 10."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute_svc.domain import device_names, disks
from compute_svc.domain.disks import DiskPlan, PlannedDisk
from compute_svc.domain.model import (
    BlockDeviceInfo,
    DiskRole,
    DomainType,
    EphemeralBlockDevice,
    HostCaps,
    ImageBlockDevice,
    InstanceSpec,
    SwapBlockDevice,
    VolumeBlockDevice,
    WantedDisk,
)
from svckit.errors import FailedPrecondition
from tests.unit.compute_svc.given import IMAGE, KVM, a_spec, a_volume

GIB = 1024**3
NO_DEVICES = BlockDeviceInfo()


def names(plan: DiskPlan) -> dict[str, str]:
    """Local name or volume id to device."""
    return {disk.name or disk.volume_id: disk.dev for disk in plan.disks}


def refusal(
    spec: InstanceSpec, block_devices: BlockDeviceInfo = NO_DEVICES, host: HostCaps = KVM
) -> FailedPrecondition:
    with pytest.raises(FailedPrecondition) as refused:
        disks.assign(spec, block_devices, host)
    return refused.value


# --- the conformance vectors ---------------------------------------------------------------------------------------


def test_image_boot_with_config_drive_on_pc() -> None:
    plan = disks.assign(a_spec(), NO_DEVICES, KVM)
    assert (plan.disk_bus, plan.cdrom_bus) == ("virtio", "ide")
    assert plan.disks == (
        PlannedDisk(
            name="disk", bus="virtio", dev="vda", type="disk", role=DiskRole.ROOT, size_bytes=GIB, boot_order=1
        ),
        PlannedDisk(name="disk.config", bus="ide", dev="hda", type="cdrom", role=DiskRole.CONFIG),
    )


def test_config_drive_on_q35_is_sata() -> None:
    plan = disks.assign(a_spec({"hw_machine_type": "q35"}), NO_DEVICES, KVM)
    assert plan.disks[1] == PlannedDisk(name="disk.config", bus="sata", dev="sda", type="cdrom", role=DiskRole.CONFIG)


FLAVOR_DISKS = a_spec(swap_mib=512, ephemeral_gib=20, config_drive=False)


def test_disks_of_the_flavor() -> None:
    plan = disks.assign(FLAVOR_DISKS, NO_DEVICES, KVM)
    assert names(plan) == {"disk": "vda", "disk.local": "vdb", "disk.swap": "vdc"}
    assert plan.dropped == ()


def test_swap_gives_way_to_a_volume_that_has_its_name() -> None:
    plan = disks.assign(FLAVOR_DISKS, BlockDeviceInfo(volumes=(a_volume(1, "/dev/vdc"),)), KVM)
    assert names(plan) == {"disk": "vda", "disk.local": "vdb", "disk.swap": "vdd", a_volume(1).volume_id: "vdc"}
    assert plan.dropped == ()


def test_the_ephemeral_disk_is_left_out_when_a_volume_has_its_name() -> None:
    plan = disks.assign(FLAVOR_DISKS, BlockDeviceInfo(volumes=(a_volume(1, "/dev/vdb"),)), KVM)
    assert names(plan) == {"disk": "vda", "disk.swap": "vdc", a_volume(1).volume_id: "vdb"}
    assert plan.dropped == ("disk.local",)


# --- buses ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("properties", "arch", "root", "config"),
    [
        ({}, "x86_64", "virtio vda", "ide hda"),
        ({"hw_machine_type": "pc-q35-7.2"}, "x86_64", "virtio vda", "sata sda"),
        ({"hw_disk_bus": "scsi"}, "x86_64", "scsi sda", "ide hda"),
        ({"hw_disk_bus": "ide"}, "x86_64", "ide hda", "ide hdb"),
        ({"hw_disk_bus": "sata", "hw_cdrom_bus": "sata"}, "x86_64", "sata sda", "sata sdb"),
        ({"hw_disk_bus": "usb", "hw_cdrom_bus": "scsi"}, "x86_64", "usb sda", "scsi sdb"),
        ({}, "aarch64", "virtio vda", "scsi sda"),
        ({}, "ppc64le", "virtio vda", "scsi sda"),
        ({}, "s390x", "virtio vda", "scsi sda"),
    ],
)
def test_buses_follow_image_and_machine(properties: dict[str, str], arch: str, root: str, config: str) -> None:
    plan = disks.assign(a_spec(properties), NO_DEVICES, HostCaps(domain_type=DomainType.KVM, arch=arch))
    assert [f"{disk.bus} {disk.dev}" for disk in plan.disks] == [root, config]


@pytest.mark.parametrize(
    "properties",
    [
        {"hw_disk_bus": "xen"},
        {"hw_disk_bus": "fdc"},
        {"hw_cdrom_bus": "virtio"},
        {"hw_scsi_model": "buslogic"},
        {"hw_machine_type": "q35", "hw_disk_bus": "ide"},
        {"hw_machine_type": "q35", "hw_cdrom_bus": "ide"},
        {"hw_machine_type": "isapc"},
        {"hw_architecture": "aarch64"},
    ],
)
def test_hardware_that_is_not_made_here(properties: dict[str, str]) -> None:
    host = replace(KVM, machine_types=frozenset({"pc", "q35"}))
    refused = refusal(a_spec(properties), host=host)
    assert refused.reason == "UNSUPPORTED_HARDWARE"
    assert set(properties.values()) & set(refused.metadata.values())


@pytest.mark.parametrize("arch", ["x86_64", "amd64", "i686", "i386"])
def test_an_image_for_this_architecture(arch: str) -> None:
    assert disks.assign(a_spec({"hw_architecture": arch}), NO_DEVICES, KVM).root.dev == "vda"


@pytest.mark.parametrize(
    ("properties", "units"),
    [({"hw_disk_bus": "scsi"}, [0, None, 1]), ({"hw_disk_bus": "scsi", "hw_scsi_model": "lsilogic"}, [None] * 3)],
)
def test_only_virtio_scsi_has_units(properties: dict[str, str], units: list[int | None]) -> None:
    plan = disks.assign(a_spec(properties), BlockDeviceInfo(volumes=(a_volume(),)), KVM)
    assert [disk.unit for disk in plan.disks] == units


# --- the root ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("properties", "where"), [({}, "ide hda"), ({"hw_machine_type": "q35"}, "sata sda")])
def test_an_iso_boots_from_the_cdrom_bus(properties: dict[str, str], where: str) -> None:
    spec = a_spec(properties, disk_format="iso", config_drive=False)
    plan = disks.assign(spec, NO_DEVICES, KVM)
    assert (f"{plan.root.bus} {plan.root.dev}", plan.root.type, plan.root.boot_order) == (where, "cdrom", 1)
    assert disks.wanted(plan, spec) == [WantedDisk(name="disk", role=DiskRole.ROOT, size_bytes=0)]


@pytest.mark.parametrize(
    ("block_devices", "dev"),
    [
        (BlockDeviceInfo(root_device_name="/dev/vdc"), "vdc"),
        (BlockDeviceInfo(root_device_name="/dev/vdc", image=(ImageBlockDevice(image_id=IMAGE),)), "vdc"),
        (
            BlockDeviceInfo(
                root_device_name="/dev/vdc", image=(ImageBlockDevice(image_id=IMAGE, device_name="/dev/vdd"),)
            ),
            "vdd",
        ),
        (BlockDeviceInfo(root_device_name="/dev/sda"), "vda"),  # made for another bus
    ],
)
def test_the_root_has_the_name_that_was_given(block_devices: BlockDeviceInfo, dev: str) -> None:
    assert disks.assign(a_spec(), block_devices, KVM).root.dev == dev


def test_the_image_device_decides_bus_and_size() -> None:
    image = ImageBlockDevice(image_id=IMAGE, size_gib=7, disk_bus="scsi")
    root = disks.assign(a_spec(), BlockDeviceInfo(image=(image,)), KVM).root
    assert (root.bus, root.dev, root.size_bytes) == ("scsi", "sda", 7 * GIB)


def test_a_volume_may_be_the_root() -> None:
    volumes = (a_volume(1), a_volume(2, boot_index=0))
    plan = disks.assign(a_spec(), BlockDeviceInfo(root_device_name="/dev/vda", volumes=volumes), KVM)
    assert names(plan) == {volumes[1].volume_id: "vda", "disk.config": "hda", volumes[0].volume_id: "vdb"}
    assert (plan.root.volume_id, plan.root.boot_order) == (volumes[1].volume_id, 1)
    assert [disk.name for disk in disks.wanted(plan, a_spec())] == ["disk.config"]


# --- ephemerals, swap, volumes, config drive -----------------------------------------------------------------------


def test_the_one_ephemeral_that_is_listed_is_the_flavors_and_stays() -> None:
    listed = BlockDeviceInfo(ephemerals=(EphemeralBlockDevice(size_gib=20),), volumes=(a_volume(1, "/dev/vdb"),))
    plan = disks.assign(a_spec(ephemeral_gib=20, config_drive=False), listed, KVM)
    assert names(plan) == {"disk": "vda", "disk.local": "vdc", a_volume(1).volume_id: "vdb"}


def test_several_ephemerals_are_numbered() -> None:
    listed = (EphemeralBlockDevice(size_gib=2), EphemeralBlockDevice(size_gib=3, device_name="/dev/vdf"))
    plan = disks.assign(a_spec(ephemeral_gib=5, config_drive=False), BlockDeviceInfo(ephemerals=listed), KVM)
    assert names(plan) == {"disk": "vda", "disk.eph0": "vdb", "disk.eph1": "vdf"}


def test_a_listed_swap_goes_before_the_flavors() -> None:
    listed = BlockDeviceInfo(swap=SwapBlockDevice(swap_size_mib=64, device_name="/dev/vdk"))
    spec = a_spec(swap_mib=512, config_drive=False)
    plan = disks.assign(spec, listed, KVM)
    assert names(plan) == {"disk": "vda", "disk.swap": "vdk"}
    assert disks.wanted(plan, spec)[1] == WantedDisk(name="disk.swap", role=DiskRole.SWAP, size_bytes=64 * 1024**2)


@pytest.mark.parametrize(
    ("device", "bus", "where"),
    [
        ("", "", "virtio vdb"),
        ("/dev/vdq", "", "virtio vdq"),
        ("/dev/sdc", "", "scsi sdc"),
        ("/dev/hdc", "", "ide hdc"),
        ("", "scsi", "scsi sda"),
        ("/dev/vdq", "scsi", "scsi sda"),
    ],
)
def test_where_a_volume_goes(device: str, bus: str, where: str) -> None:
    plan = disks.assign(a_spec(), BlockDeviceInfo(volumes=(a_volume(1, device, bus=bus),)), KVM)
    assert [f"{disk.bus} {disk.dev}" for disk in plan.volumes] == [where]


def test_a_volume_may_be_a_cdrom() -> None:
    plan = disks.assign(a_spec(), BlockDeviceInfo(volumes=(a_volume(device_type="cdrom"),)), KVM)
    assert [(disk.bus, disk.dev, disk.type) for disk in plan.volumes] == [("ide", "hda", "cdrom")]
    assert names(plan)["disk.config"] == "hdb"


@pytest.mark.parametrize(
    "volume",
    [
        a_volume(1, bus="xen"),
        a_volume(1, "/dev/fda"),
        a_volume(1, "/dev/xvdb"),
        a_volume(1, device_type="lun"),
        a_volume(1, "/dev/vdb", device_type="cdrom"),
    ],
)
def test_a_volume_that_cannot_be_plugged(volume: VolumeBlockDevice) -> None:
    assert refusal(a_spec(), BlockDeviceInfo(volumes=(volume,))).reason == "UNSUPPORTED_HARDWARE"


@pytest.mark.parametrize("devices", [("/dev/vda",), ("/dev/vdb", "/dev/vdb"), ("/dev/vdb", "vdb")])
def test_a_name_is_given_once(devices: tuple[str, ...]) -> None:
    volumes = tuple(a_volume(number, device) for number, device in enumerate(devices))
    refused = refusal(a_spec(), BlockDeviceInfo(volumes=volumes))
    assert refused.reason == "DEVICE_NAME_IN_USE"
    assert refused.metadata["owner"] == f"volume {volumes[-1].volume_id}"


@pytest.mark.parametrize(
    ("properties", "volumes"),
    [
        ({}, [a_volume(number) for number in range(26)]),
        ({"hw_disk_bus": "ide"}, [a_volume(number) for number in range(3)]),
        ({}, [a_volume(1, "/dev/hde")]),
        ({}, [a_volume(1, "/dev/vdaa")]),
    ],
)
def test_one_disk_too_many(properties: dict[str, str], volumes: list[VolumeBlockDevice]) -> None:
    refused = refusal(a_spec(properties), BlockDeviceInfo(volumes=tuple(volumes)))
    assert refused.reason == "TOO_MANY_DISK_DEVICES"


def test_a_full_bus_is_not_too_many() -> None:
    volumes = tuple(a_volume(number) for number in range(25))
    assert disks.assign(a_spec(), BlockDeviceInfo(volumes=volumes), KVM).disks[-1].dev == "vdz"


@pytest.mark.parametrize(
    ("config_drive", "properties", "expected"),
    [
        (False, {}, False),
        (True, {}, True),
        (False, {"img_config_drive": "mandatory"}, True),
        (False, {"img_config_drive": "optional"}, False),
    ],
)
def test_who_gets_a_config_drive(config_drive: bool, properties: dict[str, str], expected: bool) -> None:
    spec = a_spec(properties, config_drive=config_drive)
    assert disks.has_config_drive(spec) is expected
    assert ("disk.config" in names(disks.assign(spec, NO_DEVICES, KVM))) is expected


def test_boot_order_is_a_number_and_unique() -> None:
    volumes = (a_volume(1, boot_index=9), a_volume(2, boot_index=1), a_volume(3, boot_index=0), a_volume(4))
    listed = BlockDeviceInfo(image=(ImageBlockDevice(image_id=IMAGE),), volumes=volumes)
    plan = disks.assign(a_spec(), listed, KVM)
    assert [disk.boot_order for disk in plan.disks] == [1, None, 10, 2, 3, None]


def test_all_that_image_svc_is_asked_for() -> None:
    spec = a_spec(ephemeral_gib=2, swap_mib=3, root_gib=0)
    plan = disks.assign(spec, BlockDeviceInfo(volumes=(a_volume(),)), KVM)
    assert disks.wanted(plan, spec) == [
        WantedDisk(name="disk", role=DiskRole.ROOT, size_bytes=0),
        WantedDisk(name="disk.local", role=DiskRole.EPHEMERAL, size_bytes=2 * GIB),
        WantedDisk(name="disk.swap", role=DiskRole.SWAP, size_bytes=3 * 1024**2),
        WantedDisk(name="disk.config", role=DiskRole.CONFIG, size_bytes=0),
    ]


# --- whatever is asked for -----------------------------------------------------------------------------------------

DEVICES = st.sampled_from(["", "", "", "/dev/vda", "/dev/vdb", "/dev/vdd", "/dev/sda", "/dev/sdb", "/dev/hdb", "vdz"])
BUSES = st.sampled_from(["", "", "virtio", "scsi", "ide", "sata", "usb", "fdc"])
SPECS = st.builds(
    a_spec,
    st.fixed_dictionaries(
        {},
        optional={
            "hw_disk_bus": BUSES,
            "hw_cdrom_bus": BUSES,
            "hw_machine_type": st.sampled_from(["pc", "q35"]),
            "hw_scsi_model": st.sampled_from(["", "virtio-scsi", "lsilogic"]),
        },
    ),
    ephemeral_gib=st.integers(0, 1),
    swap_mib=st.integers(0, 1),
    disk_format=st.sampled_from(["qcow2", "raw", "iso"]),
    config_drive=st.booleans(),
)
VOLUMES = st.lists(st.tuples(DEVICES, BUSES, st.integers(-1, 3)), max_size=30).map(
    lambda rows: tuple(
        a_volume(number, device, bus=bus, boot_index=index) for number, (device, bus, index) in enumerate(rows)
    )
)
BLOCK_DEVICES = st.builds(
    BlockDeviceInfo,
    root_device_name=DEVICES,
    image=st.sampled_from([(), (ImageBlockDevice(image_id=IMAGE),)]),
    ephemerals=st.lists(st.builds(EphemeralBlockDevice, size_gib=st.just(1), device_name=DEVICES), max_size=2).map(
        tuple
    ),
    swap=st.none() | st.builds(SwapBlockDevice, swap_size_mib=st.just(1), device_name=DEVICES),
    volumes=VOLUMES,
)


@given(SPECS, BLOCK_DEVICES)
def test_a_plan_is_sound_or_refused_for_a_reason(spec: InstanceSpec, block_devices: BlockDeviceInfo) -> None:
    try:
        plan = disks.assign(spec, block_devices, KVM)
    except FailedPrecondition as refused:
        assert refused.reason in {"UNSUPPORTED_HARDWARE", "TOO_MANY_DISK_DEVICES", "DEVICE_NAME_IN_USE"}
        return
    devs = [disk.dev for disk in plan.disks]
    orders = [disk.boot_order for disk in plan.disks if disk.boot_order is not None]
    assert len(set(devs)) == len(devs)
    assert len(set(orders)) == len(orders)
    assert plan.root.boot_order == 1
    assert all(device_names.fits(disk.dev, disk.bus) for disk in plan.disks)
    assert all(device_names.index_of(disk.dev) < device_names.limit(disk.bus) for disk in plan.disks)
    assert {disk.volume_id for disk in plan.volumes} == {volume.volume_id for volume in block_devices.volumes}
    assert plan == disks.assign(spec, block_devices, KVM)


@given(SPECS, BLOCK_DEVICES)
def test_one_volume_more_moves_no_other_disk(spec: InstanceSpec, block_devices: BlockDeviceInfo) -> None:
    more = replace(block_devices, volumes=(*block_devices.volumes, a_volume(99)))
    try:
        before, after = disks.assign(spec, block_devices, KVM), disks.assign(spec, more, KVM)
    except FailedPrecondition:
        return
    # The config drive, which the guest finds by its label, is named last, as in Nova.
    moved = set(before.disks) - set(after.disks)
    assert {disk.name for disk in moved} <= {"disk.config"}
