from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from netblock_svc.domain.default_network import DEFAULT_NETWORK, DEFAULT_NETWORK_UID
from netblock_svc.domain.mac import check_mac, mac_address
from netblock_svc.domain.network import Network, NetworkKind, WantedNetwork, WantedSubnet
from netblock_svc.domain.plans import plan_network
from svckit.errors import InvalidArgument

NOW = datetime(2026, 1, 1, tzinfo=UTC)
UID = "7f7c1f2e-0000-4000-8000-000000000001"


def wanted(*subnets: WantedSubnet, **fields: object) -> WantedNetwork:
    base = WantedNetwork(
        uid=UID, project="p", display_name="net", kind=NetworkKind.BRIDGE, bridge="br0", subnets=subnets
    )
    return replace(base, **fields)  # type: ignore[arg-type]


def plan(*subnets: WantedSubnet, **fields: object) -> Network:
    return plan_network(wanted(*subnets, **fields), NOW)


LAN = WantedSubnet(cidr="10.0.0.0/24")
USER = {"kind": NetworkKind.USER, "bridge": ""}
LIBVIRT = {"kind": NetworkKind.LIBVIRT, "bridge": ""}


@pytest.mark.parametrize(
    ("subnet", "gateway", "first", "last"),
    [
        (LAN, "10.0.0.1", "10.0.0.2", "10.0.0.254"),
        (WantedSubnet(cidr="10.0.0.0/24", gateway="10.0.0.254"), "10.0.0.254", "10.0.0.1", "10.0.0.253"),
        (WantedSubnet(cidr="10.0.0.0/24", gateway="10.0.0.9"), "10.0.0.9", "10.0.0.1", "10.0.0.254"),
        (WantedSubnet(cidr="10.0.0.0/24", first_address="10.0.0.50"), "10.0.0.1", "10.0.0.50", "10.0.0.254"),
        (WantedSubnet(cidr="10.0.0.0/24", last_address="10.0.0.50"), "10.0.0.1", "10.0.0.2", "10.0.0.50"),
        (WantedSubnet(cidr="10.0.0.0/31"), "10.0.0.0", "10.0.0.1", "10.0.0.1"),
        (WantedSubnet(cidr="10.0.0.5/32"), "None", "10.0.0.5", "10.0.0.5"),
        (WantedSubnet(cidr="fd00::/64"), "fd00::1", "fd00::2", "fd00::ffff:ffff:ffff:ffff"),
        (WantedSubnet(cidr="fd00::/64", gateway="fe80::1"), "fe80::1", "fd00::1", "fd00::ffff:ffff:ffff:ffff"),
    ],
)
def test_defaults_of_a_shared_subnet(subnet: WantedSubnet, gateway: str, first: str, last: str) -> None:
    (made,) = plan(subnet).subnets
    assert (str(made.gateway), str(made.first), str(made.last)) == (gateway, first, last)


def test_defaults_of_a_user_subnet() -> None:
    (made,) = plan(WantedSubnet(cidr="10.64.0.0/12"), **USER).subnets
    assert (made.gateway, str(made.first), str(made.last)) == (None, "10.64.0.15", "10.79.255.239")


def test_defaults_of_a_network() -> None:
    assert plan(LAN).mtu == 1500
    assert plan(LAN, mtu=9000).mtu == 9000


def test_planning_twice_plans_the_same() -> None:
    assert plan(LAN) == plan(LAN)


def test_the_default_network_is_for_everybody_and_has_room() -> None:
    network = plan_network(DEFAULT_NETWORK, NOW)
    assert (network.uid, network.display_name, network.project) == (DEFAULT_NETWORK_UID, "default", "")
    assert network.is_visible_to("anybody")


@pytest.mark.parametrize(
    ("subnets", "fields", "field"),
    [
        ([LAN], {"display_name": ""}, "network.display_name"),
        ([LAN], {"display_name": "x" * 256}, "network.display_name"),
        ([LAN], {"display_name": "a\0b"}, "network.display_name"),
        ([LAN], {"bridge": ""}, "network.bridge"),
        ([LAN], {"bridge": "x" * 16}, "network.bridge"),
        ([LAN], {"bridge": "../evil"}, "network.bridge"),
        ([LAN], {"bridge": ".."}, "network.bridge"),
        ([LAN], {"libvirt_network": "default"}, "network.libvirt_network"),
        ([LAN], {**LIBVIRT}, "network.libvirt_network"),
        ([LAN], {**LIBVIRT, "libvirt_network": "a/b"}, "network.libvirt_network"),
        ([LAN], {**USER, "bridge": "br0"}, "network.bridge"),
        ([LAN], {"mtu": 575}, "network.mtu"),
        ([LAN], {"mtu": 9217}, "network.mtu"),
        ([LAN], {"mtu": -1}, "network.mtu"),
        ([WantedSubnet(cidr="fd00::/64")], {"mtu": 1279}, "network.mtu"),
        ([], {}, "network.subnets"),
        ([LAN] * 33, {}, "network.subnets"),
        ([LAN, WantedSubnet(cidr="10.0.0.128/25")], {}, "network.subnets[1].cidr"),
        ([WantedSubnet(cidr="10.0.0.1/24")], {}, "network.subnets[0].cidr"),
        ([WantedSubnet(cidr="x")], {}, "network.subnets[0].cidr"),
        ([WantedSubnet(cidr="")], {}, "network.subnets[0].cidr"),
        ([WantedSubnet(cidr="224.0.0.0/8")], {}, "network.subnets[0].cidr"),
        ([WantedSubnet(cidr="fd00::/64")], USER, "network.subnets[0].cidr"),
        ([WantedSubnet(cidr="10.0.0.0/28")], USER, "network.subnets[0].cidr"),
        ([WantedSubnet(cidr="10.0.0.0/24", gateway="10.0.0.1")], USER, "network.subnets[0].gateway"),
        ([WantedSubnet(cidr="10.0.0.0/24", first_address="10.0.0.20", last_address="10.0.0.30")], USER, None),
        ([WantedSubnet(cidr="10.0.0.0/24", gateway="10.0.1.1")], {}, "network.subnets[0].gateway"),
        ([WantedSubnet(cidr="10.0.0.0/24", gateway="10.0.0.0")], {}, "network.subnets[0].gateway"),
        ([WantedSubnet(cidr="10.0.0.0/24", gateway="10.0.0.255")], {}, "network.subnets[0].gateway"),
        ([WantedSubnet(cidr="10.0.0.0/24", gateway="fe80::1")], {}, "network.subnets[0].gateway"),
        ([WantedSubnet(cidr="10.0.0.0/24", gateway="x")], {}, "network.subnets[0].gateway"),
        ([WantedSubnet(cidr="10.0.0.0/24", first_address="10.0.0.0")], {}, "network.subnets[0].first_address"),
        ([WantedSubnet(cidr="10.0.0.0/24", last_address="10.0.1.0")], {}, "network.subnets[0].last_address"),
        ([WantedSubnet(cidr="10.0.0.0/24", last_address="fd00::1")], {}, "network.subnets[0].last_address"),
        (
            [WantedSubnet(cidr="10.0.0.0/24", first_address="10.0.0.9", last_address="10.0.0.8")],
            {},
            "network.subnets[0].first_address",
        ),
        ([WantedSubnet(cidr="10.0.0.0/24", first_address="10.0.0.1", last_address="10.0.0.1")], {}, None),
        ([WantedSubnet(cidr="10.0.0.0/24", dns=("x",))], {}, "network.subnets[0].dns[0]"),
        ([WantedSubnet(cidr="10.0.0.0/24", dns=("fe80::1%eth0",))], {}, "network.subnets[0].dns[0]"),
        ([WantedSubnet(cidr="10.0.0.0/24", dns=("10.0.0.1",) * 9)], {}, "network.subnets[0].dns"),
    ],
)
def test_refused_networks(subnets: list[WantedSubnet], fields: dict[str, object], field: str | None) -> None:
    with pytest.raises(InvalidArgument) as refused:
        plan(*subnets, **fields)
    assert refused.value.metadata["field"] == (field or "network.subnets[0]")


@pytest.mark.parametrize("address", ["fa:16:3e:00:00:01", "52:54:00:12:34:56", mac_address(0xABCDEF)])
def test_accepted_macs(address: str) -> None:
    check_mac(address, "f")


@pytest.mark.parametrize(
    "address",
    [
        "FA:16:3E:00:00:01",
        "fa-16-3e-00-00-01",
        "fa:16:3e:00:00",
        "fa:16:3e:00:00:01\n",
        "01:00:5e:00:00:01",
        "ff:ff:ff:ff:ff:ff",
        "00:00:00:00:00:00",
        "fe:16:3e:00:00:01",
    ],
)
def test_refused_macs(address: str) -> None:
    with pytest.raises(InvalidArgument):
        check_mac(address, "f")
