"""What every kind of network must get right; a further kind is one more line in WANTED."""

from __future__ import annotations

import pytest

from netblock_svc.domain.kinds import KINDS
from netblock_svc.domain.network import Network, NetworkKind, WantedNetwork, WantedSubnet
from netblock_svc.domain.plans import check_address, make_vif, plan_network
from netblock_svc.domain.port import FixedIp, Port
from netblock_svc.domain.vif import VifType
from svckit.errors import InvalidArgument
from tests.fakes.netblock_values import clock, new_uid

WANTED = {
    NetworkKind.USER: ({}, ["10.64.0.0/20"], VifType.USER, ""),
    NetworkKind.BRIDGE: ({"bridge": "br0"}, ["10.0.0.0/24", "fd00::/64"], VifType.BRIDGE, "br0"),
    NetworkKind.LIBVIRT: ({"libvirt_network": "nat"}, ["192.168.122.0/24"], VifType.NETWORK, "nat"),
}


@pytest.fixture(params=list(NetworkKind))
def network(request: pytest.FixtureRequest) -> Network:
    fields, cidrs, _, _ = WANTED[request.param]
    subnets = tuple(WantedSubnet(cidr=cidr) for cidr in cidrs)
    wanted = WantedNetwork(
        uid=new_uid(), project="p", display_name="n", kind=request.param, subnets=subnets, mtu=1400, **fields
    )
    return plan_network(wanted, clock())


def port_on(network: Network, slot: int) -> Port:
    pools = {subnet.uid: KINDS[network.kind].pool(subnet) for subnet in network.subnets}
    return Port(
        uid=new_uid(),
        display_name="",
        project="p",
        network=network.uid,
        mac_address="fa:16:3e:00:00:01",
        fixed_ips=tuple(FixedIp(subnet=uid, address=pool.address(slot)) for uid, pool in pools.items()),
        create_time=clock(),
    )


def test_every_kind_has_one() -> None:
    assert set(KINDS) == set(NetworkKind) == set(WANTED)


def test_all_that_a_pool_hands_out_is_in_its_subnet_and_may_be_asked_for(network: Network) -> None:
    for subnet in network.subnets:
        pool = KINDS[network.kind].pool(subnet)
        for slot in {0, 1, pool.slots // 2, pool.slots - 1}:
            address = pool.address(slot)
            assert address in subnet.cidr
            assert int(subnet.first) <= int(address) <= int(subnet.last)
            assert address not in (subnet.gateway, subnet.cidr[0])
            check_address(network, subnet, address)


def test_what_is_not_handed_out_is_refused_with_words(network: Network) -> None:
    for subnet in network.subnets:
        with pytest.raises(InvalidArgument, match=r"\d"):
            check_address(network, subnet, subnet.cidr[0])


@pytest.mark.parametrize("slot", [0, 1, 7])
def test_a_vif_is_complete(network: Network, slot: int) -> None:
    port = port_on(network, slot)
    vif = make_vif(network, port)
    _, _, vif_type, bridge = WANTED[network.kind]
    assert (vif.plug.type, vif.plug.bridge) == (vif_type, bridge)
    assert vif.devname == "tap" + port.uid[:11]
    assert vif.preserve_on_delete
    assert [subnet.address for subnet in vif.subnets] == [ip.address for ip in port.fixed_ips]
    for subnet in vif.subnets:
        assert subnet.address in subnet.cidr
        assert subnet.gateway is not None and subnet.gateway in subnet.cidr
        assert subnet.gateway != subnet.address


def test_ports_of_a_user_network_share_no_wire() -> None:
    wanted = WantedNetwork(
        uid=new_uid(),
        project="",
        display_name="n",
        kind=NetworkKind.USER,
        subnets=(WantedSubnet(cidr="10.64.0.0/12"),),
    )
    network = plan_network(wanted, clock())
    (one,) = make_vif(network, port_on(network, 0)).subnets
    (other,) = make_vif(network, port_on(network, 1)).subnets
    assert (str(one.cidr), str(one.address), str(one.gateway), str(one.dhcp_server), str(one.dns[0])) == (
        "10.64.0.0/27",
        "10.64.0.15",
        "10.64.0.2",
        "10.64.0.2",
        "10.64.0.3",
    )
    assert not one.cidr.overlaps(other.cidr)
