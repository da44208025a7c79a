"""What the guest is told: files as cloud-init reads them."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute_svc.domain import config_drive
from compute_svc.domain.model import FixedIp, Vif, VifKind, VifSubnet
from tests.unit.compute_svc.given import UID, a_spec, a_vif

FOLDER = "openstack/latest"


def network_data(*vifs: Vif) -> dict[str, list[dict[str, object]]]:
    loaded: dict[str, list[dict[str, object]]] = json.loads(
        config_drive.files(a_spec(), vifs)[f"{FOLDER}/network_data.json"]
    )
    return loaded


def test_the_files() -> None:
    spec = a_spec(display_name="Web 1", metadata={"role": "front"}, user_data=b"#!/bin/sh\n\x00\xff")
    files = config_drive.files(spec, [], availability_zone="here")
    assert sorted(files) == [
        f"{FOLDER}/{name}" for name in ("meta_data.json", "network_data.json", "user_data", "vendor_data.json")
    ]
    assert files[f"{FOLDER}/user_data"] == spec.user_data
    assert json.loads(files[f"{FOLDER}/vendor_data.json"]) == {}
    assert json.loads(files[f"{FOLDER}/meta_data.json"]) == {
        "uuid": UID,
        "name": "Web 1",
        "hostname": "web-1",
        "project_id": "acme",
        "launch_index": 0,
        "availability_zone": "here",
        "meta": {"role": "front"},
        "devices": [],
    }


def test_no_user_data_no_file() -> None:
    assert f"{FOLDER}/user_data" not in config_drive.files(a_spec(), [])


def test_a_name_of_which_nothing_is_left() -> None:
    meta_data = config_drive.files(a_spec(display_name="北京"), [])[f"{FOLDER}/meta_data.json"]
    assert json.loads(meta_data)["hostname"] == f"server-{UID}"
    assert json.loads(meta_data)["name"] == "北京"


@pytest.mark.parametrize(
    ("display_name", "expected"),
    [
        ("web-1", "web-1"),
        ("Web Server_1", "web-server-1"),
        ("db.example.org", "db-example-org"),
        ("  padded  ", "padded"),
        ("-.-", ""),
        ("", ""),
        ("Größe", "groe"),
        ("café", "cafe"),
        ("a!@#$%^&*()b", "ab"),
        ("x" * 80, "x" * 63),
        ("x" * 62 + "-y", "x" * 62),
        ("rm -rf /;\n", "rm--rf"),
    ],
)
def test_hostname(display_name: str, expected: str) -> None:
    assert config_drive.hostname(display_name) == expected


@given(st.text(max_size=255))
def test_a_hostname_is_one_label_or_nothing(display_name: str) -> None:
    assert re.fullmatch(r"([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)?", config_drive.hostname(display_name))


# --- the network ---------------------------------------------------------------------------------------------------


def test_a_user_network_is_left_to_dhcp() -> None:
    vif = a_vif(VifKind.USER)
    assert network_data(vif) == {
        "links": [
            {
                "id": vif.devname,
                "vif_id": vif.id,
                "type": "phy",
                "ethernet_mac_address": vif.address,
                "mtu": 1500,
            }
        ],
        "networks": [{"id": "network0", "link": vif.devname, "network_id": vif.network.id, "type": "ipv4_dhcp"}],
        "services": [{"type": "dns", "address": "10.7.0.34"}],
    }


def test_an_address_that_nobody_serves_is_static() -> None:
    vif = a_vif(VifKind.BRIDGE, mtu=0)
    data = network_data(vif)
    assert data["links"][0] | {"type": "bridge", "mtu": None} == data["links"][0]
    assert data["networks"] == [
        {
            "id": "network0",
            "link": vif.devname,
            "network_id": vif.network.id,
            "type": "ipv4",
            "ip_address": "10.7.0.47",
            "netmask": "255.255.255.224",
            "routes": [{"network": "0.0.0.0", "netmask": "0.0.0.0", "gateway": "10.7.0.33"}],
            "services": [{"type": "dns", "address": "10.7.0.34"}],
        }
    ]


SIX = VifSubnet(
    cidr="2001:db8::/64", version=6, gateway="2001:db8::1", ips=(FixedIp(address="2001:db8::5", version=6),)
)


@pytest.mark.parametrize(
    ("kind", "subnet", "expected"),
    [
        (VifKind.USER, SIX, "ipv6_slaac"),
        (VifKind.NETWORK, SIX, "ipv6"),
        (VifKind.NETWORK, replace(SIX, dhcp_server="2001:db8::2"), "ipv6_dhcp"),
        (VifKind.NETWORK, replace(SIX, ips=()), "ipv6_slaac"),
        (VifKind.NETWORK, VifSubnet(cidr="10.0.0.0/24"), "ipv4_dhcp"),
        (
            VifKind.BRIDGE,
            VifSubnet(cidr="10.0.0.0/24", dhcp_server="10.0.0.2", ips=(FixedIp(address="10.0.0.9"),)),
            "ipv4_dhcp",
        ),
    ],
)
def test_how_an_address_is_come_by(kind: VifKind, subnet: VifSubnet, expected: str) -> None:
    assert [network["type"] for network in network_data(a_vif(kind, subnets=[subnet]))["networks"]] == [expected]


def test_a_static_address_without_gateway_has_no_route() -> None:
    subnet = VifSubnet(cidr="10.0.0.0/24", ips=(FixedIp(address="10.0.0.9"),))
    network = network_data(a_vif(VifKind.BRIDGE, subnets=[subnet]))["networks"][0]
    assert (network["netmask"], network["routes"], network["services"]) == ("255.255.255.0", [], [])


def test_an_ipv6_route_and_mask() -> None:
    network = network_data(a_vif(VifKind.BRIDGE, subnets=[SIX]))["networks"][0]
    assert network["netmask"] == "ffff:ffff:ffff:ffff::"
    assert network["routes"] == [{"network": "::", "netmask": "::", "gateway": "2001:db8::1"}]


def test_several_ports_and_subnets_keep_their_order() -> None:
    first, second = a_vif(VifKind.BRIDGE, 1), a_vif(VifKind.NETWORK, 2, subnets=[SIX, VifSubnet(cidr="10.0.0.0/24")])
    data = network_data(first, second)
    assert [link["vif_id"] for link in data["links"]] == [first.id, second.id]
    assert [(network["id"], network["link"]) for network in data["networks"]] == [
        ("network0", first.devname),
        ("network1", second.devname),
        ("network2", second.devname),
    ]
    assert data["services"] == [{"type": "dns", "address": "10.7.0.34"}]


# --- the digest ----------------------------------------------------------------------------------------------------

FILES = st.dictionaries(st.text(max_size=5), st.binary(max_size=5), max_size=4)


@given(FILES, FILES)
def test_equal_digests_mean_equal_files(one: dict[str, bytes], other: dict[str, bytes]) -> None:
    assert (config_drive.digest(one) == config_drive.digest(other)) == (one == other)


def test_the_digest_is_a_known_value() -> None:
    assert config_drive.digest({}) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@given(st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=5))
def test_the_order_of_metadata_changes_nothing(metadata: dict[str, str]) -> None:
    backwards = dict(reversed(metadata.items()))
    assert config_drive.files(a_spec(metadata=metadata), []) == config_drive.files(a_spec(metadata=backwards), [])
