"""What a domain is built from decides what it is, and nothing else does."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from compute_svc.domain import domain_xml
from compute_svc.domain.domain_xml.disks import serial
from compute_svc.domain.domain_xml.metadata import NAMESPACE
from compute_svc.domain.model import (
    BlockDeviceInfo,
    ConnectionInfo,
    DiskFacts,
    HostCaps,
    InstanceSpec,
    Vif,
    VifKind,
    VifSubnet,
    VolumeBlockDevice,
)
from svckit.errors import FailedPrecondition, Internal, ProtostarError
from tests.unit.compute_svc.given import EMBEDDED, KVM, PATHS, UID, Guest, a_spec, a_vif, a_volume, facts_of
from tests.unit.compute_svc.test_disks import BLOCK_DEVICES, SPECS

SCHEMA = etree.RelaxNG(file="/usr/share/libvirt/schemas/domain.rng")
INSTANCE = f"./metadata/{{{NAMESPACE}}}instance"


def domain(guest: Guest) -> etree._Element:
    return etree.fromstring(guest.xml())


def texts(guest: Guest, xpath: str) -> list[str]:
    return [str(found) for found in domain(guest).xpath(xpath)]


def refusal(guest: Guest) -> ProtostarError:
    with pytest.raises(FailedPrecondition) as refused:
        guest.xml()
    return refused.value


# --- identity, digest, ownership -----------------------------------------------------------------------------------


def test_name_and_uuid_are_the_instances() -> None:
    assert domain_xml.domain_name(UID) == f"instance-{UID}"
    assert texts(Guest(spec=a_spec()), "./name/text() | ./uuid/text()") == [f"instance-{UID}", UID]


def test_the_digest_is_that_of_the_canonical_form_without_it() -> None:
    made = Guest(spec=a_spec(), vifs=(a_vif(),)).xml()
    plain = etree.fromstring(made, etree.XMLParser(remove_blank_text=True))
    instance = plain.find(INSTANCE)
    assert instance is not None
    digest = instance.find(f"{{{NAMESPACE}}}digest")
    assert digest is not None
    instance.remove(digest)
    assert digest.text == hashlib.sha256(etree.tostring(plain, method="c14n")).hexdigest()
    assert domain_xml.digest_of(made) == digest.text


PLAIN = Guest(spec=a_spec(), vifs=(a_vif(),))


def test_equal_input_gives_equal_bytes() -> None:
    assert PLAIN.xml() == Guest(spec=a_spec(), vifs=(a_vif(),)).xml()


@pytest.mark.parametrize(
    "other",
    [
        replace(PLAIN, spec=a_spec(display_name="web-2")),
        replace(PLAIN, spec=a_spec(vcpus=2)),
        replace(PLAIN, spec=a_spec({"hw_boot_menu": "yes"})),
        replace(PLAIN, vifs=(a_vif(number=2),)),
        replace(PLAIN, host=EMBEDDED),
        replace(PLAIN, block_devices=BlockDeviceInfo(volumes=(a_volume(),))),
    ],
)
def test_other_input_gives_another_digest(other: Guest) -> None:
    assert domain_xml.digest_of(other.xml()) != domain_xml.digest_of(PLAIN.xml())


def test_what_is_only_measured_does_not_matter() -> None:
    plan = PLAIN.plan()
    grown = [replace(disk, disk_size=1 << 30, created=True, content_digest="ab" * 32) for disk in facts_of(plan)]
    assert domain_xml.build(PLAIN.spec, plan, grown[::-1], PLAIN.vifs, (), KVM, PATHS) == PLAIN.xml()


@pytest.mark.parametrize(
    "foreign",
    [
        "",
        "not XML",
        "<domain",
        "<domain/>",
        "<domain><metadata/></domain>",
        '<domain><metadata><x:instance xmlns:x="http://openstack.org/xmlns/libvirt/nova/1.1"/></metadata></domain>',
        f'<network><metadata><p:instance xmlns:p="{NAMESPACE}"/></metadata></network>',
        f'<domain><description><p:instance xmlns:p="{NAMESPACE}"/></description></domain>',
        f"<domain><metadata><instance>{NAMESPACE}</instance></metadata></domain>",
    ],
)
def test_a_foreign_domain_is_not_ours(foreign: str) -> None:
    assert not domain_xml.owned(foreign)
    assert domain_xml.digest_of(foreign) is None


@pytest.mark.parametrize("digest", ["", "<p:digest/>"])
def test_a_domain_of_ours_without_digest_is_still_ours(digest: str) -> None:
    text = f'<domain><metadata><p:instance xmlns:p="{NAMESPACE}">{digest}</p:instance></metadata></domain>'
    assert domain_xml.owned(text)
    assert domain_xml.digest_of(text) is None


def test_no_entity_is_expanded() -> None:
    text = f"""<!DOCTYPE domain [<!ENTITY e SYSTEM "file:///etc/hostname">]>
        <domain><metadata><p:instance xmlns:p="{NAMESPACE}"><p:digest>&e;</p:digest></p:instance></metadata></domain>"""
    assert domain_xml.digest_of(text) is None


@given(st.text(max_size=50), st.text(max_size=20))
def test_no_name_breaks_out_of_its_element(display_name: str, project: str) -> None:
    spec = replace(a_spec(display_name=display_name), project=project)
    made = etree.fromstring(Guest(spec=spec).xml())
    assert len(made.findall(f".//{{{NAMESPACE}}}name")) == 1
    assert made.findtext("./name") == f"instance-{UID}"
    if display_name.isprintable():
        assert (made.findtext(f"{INSTANCE}/{{{NAMESPACE}}}name") or "") == display_name


# --- whatever is planned is a domain -------------------------------------------------------------------------------


@settings(max_examples=60)
@given(SPECS, BLOCK_DEVICES)
def test_whatever_is_planned_is_valid(spec: InstanceSpec, block_devices: BlockDeviceInfo) -> None:
    guest = Guest(spec=spec, block_devices=block_devices)
    try:
        plan = guest.plan()
    except FailedPrecondition:
        return
    made = domain(guest)
    SCHEMA.assertValid(made)
    assert made.xpath("./devices/disk/target/@dev") == [disk.dev for disk in plan.disks]


# --- disks ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["disk", "disk.local", "disk.eph99", "disk.swap", "disk.config"])
def test_serials_fit_into_what_virtio_tells(name: str) -> None:
    assert serial(UID, name) == f"6f1d2c3b-{name}"
    assert len(serial(UID, name)) <= 20


def test_the_format_is_that_on_disk() -> None:
    plan = PLAIN.plan()
    facts = [DiskFacts(name="disk", path="/a", type="raw"), DiskFacts(name="disk.config", path="/b", type="raw")]
    made = etree.fromstring(domain_xml.build(PLAIN.spec, plan, facts, (), (), KVM, PATHS))
    assert made.xpath("./devices/disk/driver/@type") == ["raw", "raw"]
    assert made.xpath("./devices/disk/source/@file") == ["/a", "/b"]


@pytest.mark.parametrize(("direct_io", "cache"), [(True, "none"), (False, "writeback")])
def test_the_cache_follows_the_host(direct_io: bool, cache: str) -> None:
    guest = replace(PLAIN, host=replace(KVM, direct_io=direct_io))
    assert set(texts(guest, "./devices/disk/driver/@cache")) == {cache}


def test_a_planned_disk_that_is_not_there() -> None:
    with pytest.raises(Internal) as failed:
        domain_xml.build(PLAIN.spec, PLAIN.plan(), [], (), (), KVM, PATHS)
    assert (failed.value.reason, failed.value.metadata["disk"]) == ("DISK_MISSING", "disk")


@pytest.mark.parametrize(
    ("volume", "reason"),
    [
        (a_volume(connected=False), "VOLUME_NOT_CONNECTED"),
        (
            replace(a_volume(), connection_info=ConnectionInfo(driver_volume_type="rbd", serial="x")),
            "UNSUPPORTED_VOLUME",
        ),
        (a_volume(1, "/dev/hdc", access_mode="ro"), "UNSUPPORTED_HARDWARE"),
    ],
)
def test_a_volume_that_cannot_be_reached(volume: VolumeBlockDevice, reason: str) -> None:
    refused = refusal(Guest(spec=a_spec(), block_devices=BlockDeviceInfo(volumes=(volume,))))
    assert (refused.reason, refused.metadata["volume"]) == (reason, a_volume().volume_id)


def test_a_read_only_volume() -> None:
    guest = Guest(spec=a_spec(), block_devices=BlockDeviceInfo(volumes=(a_volume(access_mode="ro"),)))
    assert texts(guest, "./devices/disk[readonly]/target/@dev") == ["hda", "vdb"]


# --- interfaces ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("vif", [a_vif(VifKind.OVS), replace(a_vif(), vnic_type="direct")])
def test_a_port_that_is_not_plugged_here(vif: Vif) -> None:
    refused = refusal(Guest(spec=a_spec(), vifs=(vif,)))
    assert (refused.reason, refused.metadata["port"]) == ("UNSUPPORTED_VIF", a_vif().id)


@pytest.mark.parametrize("cidr", ["10.7.0.32/27", "10.7.0.47/27"])
def test_a_user_network_is_the_ports_own(cidr: str) -> None:
    guest = Guest(spec=a_spec(), vifs=(a_vif(subnets=[VifSubnet(cidr=cidr)]),))
    assert texts(guest, "./devices/interface/ip/@address") == ["10.7.0.32"]
    assert texts(guest, "./devices/interface/ip/@prefix") == ["27"]


@pytest.mark.parametrize(
    "model", ["virtio", "ne2k_pci", "pcnet", "rtl8139", "e1000", "e1000e", "vmxnet3", "igb", "spapr-vlan"]
)
def test_every_model_of_nova_is_taken(model: str) -> None:
    guest = Guest(spec=a_spec({"hw_vif_model": model}), vifs=(a_vif(VifKind.NETWORK),))
    assert texts(guest, "./devices/interface/model/@type") == [model]


# --- hardware by image property ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("hw_vif_model", "netfront"),
        ("hw_video_model", "xen"),
        ("hw_watchdog_action", "explode"),
        ("hw_firmware_type", "coreboot"),
        ("hw_input_bus", "ps2"),
        ("hw_pointer_model", "pen"),
        ("hw_cpu_cores", "two"),
        ("hw_cpu_cores", "0"),
        ("hw_cpu_cores", "-1"),
        ("hw_cpu_sockets", "9" * 5000),
    ],
)
def test_a_property_that_is_not_understood_is_refused(key: str, value: str) -> None:
    refused = refusal(Guest(spec=a_spec({key: value})))
    assert refused.reason == "UNSUPPORTED_HARDWARE"
    assert (refused.metadata["property"], refused.metadata["value"]) == (key, value)


@pytest.mark.parametrize(
    ("vcpus", "wishes", "expected"),
    [
        (8, {}, ["8", "1", "1"]),
        (8, {"sockets": "2"}, ["2", "4", "1"]),
        (8, {"cores": "4"}, ["2", "4", "1"]),
        (8, {"threads": "2"}, ["4", "1", "2"]),
        (8, {"sockets": "1", "threads": "2"}, ["1", "4", "2"]),
        (8, {"sockets": "2", "cores": "2", "threads": "2"}, ["2", "2", "2"]),
        (8, {"sockets": "3"}, ["8", "1", "1"]),
        (8, {"cores": "16"}, ["8", "1", "1"]),
        (7, {"cores": "2"}, ["7", "1", "1"]),
        (1, {"sockets": "4"}, ["1", "1", "1"]),
    ],
)
def test_cpu_topology(vcpus: int, wishes: dict[str, str], expected: list[str]) -> None:
    guest = Guest(spec=a_spec({f"hw_cpu_{part}": wish for part, wish in wishes.items()}, vcpus=vcpus))
    assert texts(guest, "./cpu/topology/@*") == expected


@pytest.mark.parametrize("says_no", ["", "no", "false", "0", "maybe"])
def test_no_agent_without_a_yes(says_no: str) -> None:
    assert texts(Guest(spec=a_spec({"hw_qemu_guest_agent": says_no})), "./devices/channel/@type") == []


def test_no_watchdog_when_disabled() -> None:
    assert texts(Guest(spec=a_spec({"hw_watchdog_action": "disabled"})), "./devices/watchdog/@action") == []


@pytest.mark.parametrize(
    "host", [replace(KVM, vnc=False), replace(KVM, embedded=True)], ids=["without VNC", "embedded"]
)
def test_no_display_no_pointer_no_usb(host: HostCaps) -> None:
    guest = replace(PLAIN, host=host)
    assert texts(guest, "./devices/graphics/@type | ./devices/video/model/@type | ./devices/input/@type") == []
    assert texts(guest, "./devices/controller[@type='usb']/@model") == ["none"]


def test_vnc_is_for_this_machine_only() -> None:
    assert set(texts(PLAIN, "./devices/graphics//@listen | ./devices/graphics//@address")) == {"127.0.0.1"}


def test_the_console_is_kept_across_starts() -> None:
    assert texts(PLAIN, "./devices/serial/log/@*") == [PATHS.console_log, "on"]
