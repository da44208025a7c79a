from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netblock_svc.domain.addressing import MAX_SLOTS, Pool, host_range, pool_between, slice_of, slice_pool

IPV4 = st.ip_addresses(v=4)
ANY = st.ip_addresses()


@st.composite
def pools(draw: st.DrawFn) -> Pool:
    """Pools of both families with and without a hole, sliced or not, up to the last address there is."""
    address = draw(ANY)
    room = 2**address.max_prefixlen - int(address)
    step = draw(st.sampled_from([1, 32]))
    size = draw(st.integers(1, max(1, min(room // step, 2**70))))
    hole = address + draw(st.integers(0, (size - 1) * step)) if draw(st.booleans()) else None
    return Pool(first=address, size=size, step=step, hole=hole)


@given(pools(), st.data())
def test_slots_and_addresses_answer_each_other(pool: Pool, data: st.DataObject) -> None:
    if not pool.slots:
        return
    slot = data.draw(st.integers(0, pool.slots - 1))
    address = pool.address(slot)
    assert pool.slot(address) == slot
    assert address != pool.hole


@given(pools(), st.data())
def test_slots_follow_the_order_of_addresses(pool: Pool, data: st.DataObject) -> None:
    if pool.slots < 2:
        return
    slot = data.draw(st.integers(0, pool.slots - 2))
    assert int(pool.address(slot)) < int(pool.address(slot + 1))


@given(pools(), ANY)
def test_a_slot_is_only_for_what_the_pool_hands_out(pool: Pool, address: IPv4Address | IPv6Address) -> None:
    slot = pool.slot(address)
    if slot is not None:
        assert pool.address(slot) == address
        assert slot >= 0


def test_a_pool_larger_than_the_database_can_count_is_cut() -> None:
    pool = pool_between(ip_address("fd00::1"), ip_address("fd00::ffff:ffff:ffff:ffff"), ip_address("fd00::1"))
    assert pool.slots == MAX_SLOTS
    assert pool.slot(ip_address("fd00::f816:3eff:fe12:3456")) == 0xF8163EFFFE123456 - 2


@pytest.mark.parametrize(
    ("cidr", "first", "last"),
    [
        ("10.0.0.0/24", "10.0.0.1", "10.0.0.254"),
        ("10.0.0.0/30", "10.0.0.1", "10.0.0.2"),
        ("10.0.0.0/31", "10.0.0.0", "10.0.0.1"),
        ("10.0.0.7/32", "10.0.0.7", "10.0.0.7"),
        ("fd00::/64", "fd00::1", "fd00::ffff:ffff:ffff:ffff"),
        ("fd00::/127", "fd00::", "fd00::1"),
        ("fd00::1/128", "fd00::1", "fd00::1"),
    ],
)
def test_host_range(cidr: str, first: str, last: str) -> None:
    assert host_range(ip_network(cidr)) == (ip_address(first), ip_address(last))


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        ("10.64.0.0", "10.64.0.31", ["10.64.0.15"]),
        ("10.64.0.0", "10.64.0.127", ["10.64.0.15", "10.64.0.47", "10.64.0.79", "10.64.0.111"]),
        ("10.64.0.16", "10.64.0.79", ["10.64.0.47", "10.64.0.79"]),
        ("10.64.0.16", "10.64.0.46", []),
        ("255.255.255.240", "255.255.255.255", []),
        ("0.0.0.0", "0.0.0.14", []),
    ],
)
def test_slice_pool(first: str, last: str, expected: list[str]) -> None:
    pool = slice_pool(IPv4Address(first), IPv4Address(last))
    assert [str(pool.address(slot)) for slot in range(pool.slots)] == expected


@given(IPV4, IPV4, st.data())
def test_slices_never_share_an_address(one: IPv4Address, other: IPv4Address, data: st.DataObject) -> None:
    pool = slice_pool(*sorted((one, other)))
    if pool.slots < 2:
        return
    slot = data.draw(st.integers(0, pool.slots - 2))
    here, there = slice_of(pool.address(slot)), slice_of(pool.address(slot + 1))  # type: ignore[arg-type]
    assert not here.overlaps(there)
    assert here[15] == pool.address(slot)
