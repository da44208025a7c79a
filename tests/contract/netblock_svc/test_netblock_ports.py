from __future__ import annotations

import asyncio
import itertools
import secrets
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from netblock_svc.adapters.storage_sql import SqlStorage
from netblock_svc.adapters.tables import METADATA
from netblock_svc.domain.kinds import KINDS
from netblock_svc.domain.port import Port, WantedPort
from netblock_svc.ports import Storage
from netblock_svc.usecases import ports
from netblock_svc.usecases.pages import Query
from svckit.database import Database
from svckit.errors import AlreadyExists, InvalidArgument, NotFound, ResourceExhausted
from tests.fakes.netblock_values import bridge, clock, ips, make_network, make_port, new_uid, user


async def test_a_port_is_read_back_as_it_was_made(storage: Storage) -> None:
    network = await make_network(storage, bridge("10.0.0.0/24", "fd00::/64"))
    port = await make_port(storage, network)
    assert ips(port) == ["10.0.0.2", "fd00::2"]
    assert port.mac_address.startswith("fa:16:3e:")
    assert await ports.get_port(storage, port.uid, "p") == port


async def test_the_same_request_again_answers_what_was_made(storage: Storage) -> None:
    network = await make_network(storage, bridge("10.0.0.0/24"))
    wanted = WantedPort(uid=new_uid(), project="p", network=network.uid)
    made = await create(storage, wanted)
    assert await create(storage, wanted) == made
    assert await create(storage, replace(wanted, ip_addresses=("10.0.0.2",))) == made
    for other in (
        replace(wanted, project="q"),
        replace(wanted, display_name="x"),
        replace(wanted, ip_addresses=("10.0.0.9",)),
        replace(wanted, mac_address="52:54:00:00:00:01"),
    ):
        with pytest.raises(AlreadyExists) as refused:
            await create(storage, other)
        assert refused.value.reason == "PORT_ALREADY_EXISTS"


async def test_a_hundred_at_once_get_a_hundred_addresses(storage: Storage) -> None:
    network = await make_network(storage, bridge("10.0.0.0/24", "fd00::/64"))
    made = await asyncio.gather(*(make_port(storage, network) for _ in range(100)))
    assert len({address for port in made for address in ips(port)}) == 200
    assert len({port.mac_address for port in made}) == 100


async def test_more_at_once_than_there_are_addresses(storage: Storage) -> None:
    network = await make_network(storage, user("10.0.0.0/24"))
    made = await asyncio.gather(*(make_port(storage, network) for _ in range(12)), return_exceptions=True)
    got = [port for port in made if isinstance(port, Port)]
    refused = [error for error in made if isinstance(error, ResourceExhausted)]
    assert sorted(int(ips(port)[0].rpartition(".")[2]) for port in got) == list(range(15, 256, 32))
    assert [error.reason for error in refused] == ["NO_FREE_ADDRESS"] * 4


async def test_a_refused_port_keeps_no_address(storage: Storage) -> None:
    network = await make_network(storage, bridge("10.0.0.0/24", "fd00::/126"))
    for _ in range(2):
        await make_port(storage, network)
    with pytest.raises(ResourceExhausted):
        await make_port(storage, network)
    assert await listed(storage, Query(filter=f'network = "networks/{network.uid}"')) == await listed(storage, Query())
    assert ips(await make_port(storage, await make_network(storage, bridge("10.0.0.0/24")))) == ["10.0.0.2"]


async def test_freed_addresses_come_back(storage: Storage) -> None:
    network = await make_network(storage, bridge("10.0.0.0/29"))
    made = [await make_port(storage, network) for _ in range(5)]
    with pytest.raises(ResourceExhausted):
        await make_port(storage, network)
    for port in (made[3], made[1]):
        await ports.delete_port(storage, port.uid, "p")
    assert {*ips(await make_port(storage, network)), *ips(await make_port(storage, network))} == {
        *ips(made[1]),
        *ips(made[3]),
    }


async def test_an_address_that_was_just_freed_rests(storage: Storage) -> None:
    network = await make_network(storage, bridge("10.0.0.0/29"))
    port = await make_port(storage, network)
    await ports.delete_port(storage, port.uid, "p")
    assert ips(await make_port(storage, network)) != ips(port)


async def test_wanted_addresses_are_given_and_then_passed_over(storage: Storage) -> None:
    network = await make_network(storage, bridge("10.0.0.0/24", "fd00::/64"))
    far = "fd00::f816:3eff:fe12:3456"
    wanted = await make_port(storage, network, far, "10.0.0.3", mac="52:54:00:00:00:01")
    assert (ips(wanted), wanted.mac_address) == (["10.0.0.3", far], "52:54:00:00:00:01")
    assert [ips(await make_port(storage, network))[0] for _ in range(2)] == ["10.0.0.2", "10.0.0.4"]


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ("10.0.0.0", "not handed out"),
        ("10.0.0.1", "gateway"),
        ("10.0.0.255", "not handed out"),
        ("10.0.1.1", "outside"),
        ("fd00::1", "outside"),
        ("10.0.0.9", "not handed out"),
        ("x", "IP address"),
    ],
)
async def test_addresses_that_nobody_can_have(storage: Storage, wanted: str, words: str) -> None:
    network = await make_network(storage, bridge("10.0.0.0/24", first_address="10.0.0.10"))
    with pytest.raises(InvalidArgument, match=words):
        await make_port(storage, network, wanted)
    assert await listed(storage, Query()) == []


async def test_a_user_network_says_which_address_it_would_give(storage: Storage) -> None:
    network = await make_network(storage, user("10.64.0.0/12"))
    with pytest.raises(InvalidArgument, match=r"15th address of a /27.*10\.64\.0\.47"):
        await make_port(storage, network, "10.64.0.40")
    assert ips(await make_port(storage, network, "10.64.0.47")) == ["10.64.0.47"]


async def test_two_wanted_in_one_subnet(storage: Storage) -> None:
    network = await make_network(storage, bridge("10.0.0.0/24"))
    with pytest.raises(InvalidArgument, match="second"):
        await make_port(storage, network, "10.0.0.5", "10.0.0.6")


@pytest.mark.parametrize(("ip", "mac"), [("10.0.0.5", ""), ("", "52:54:00:00:00:01")])
async def test_addresses_of_others(storage: Storage, ip: str, mac: str) -> None:
    network = await make_network(storage, bridge("10.0.0.0/24"))
    await make_port(storage, network, *filter(None, [ip]), mac=mac)
    with pytest.raises(AlreadyExists) as refused:
        await make_port(storage, network, *filter(None, [ip]), mac=mac)
    assert refused.value.reason == "ADDRESS_IN_USE"
    assert refused.value.metadata["address"] == ip + mac


async def test_many_who_want_the_same_address(storage: Storage) -> None:
    network = await make_network(storage, bridge("10.0.0.0/24"))
    results = await asyncio.gather(*(make_port(storage, network, "10.0.0.5") for _ in range(8)), return_exceptions=True)
    assert sum(isinstance(result, Port) for result in results) == 1
    assert sum(isinstance(result, AlreadyExists) for result in results) == 7


async def test_a_random_mac_that_is_taken_is_thrown_again(storage: Storage) -> None:
    network = await make_network(storage, bridge("10.0.0.0/24"))
    dice = iter([7, 7, 8])
    made = [
        await ports.create_port(
            storage,
            WantedPort(uid=new_uid(), project="p", network=network.uid),
            clock=clock,
            random_bits=lambda _bits: next(dice),
        )
        for _ in range(2)
    ]
    assert [port.mac_address for port in made] == ["fa:16:3e:00:00:07", "fa:16:3e:00:00:08"]
    assert [ips(port) for port in made] == [["10.0.0.2"], ["10.0.0.3"]]


async def test_networks_of_others_cannot_be_used(storage: Storage) -> None:
    foreign = await make_network(storage, bridge("10.0.0.0/24", project="q"))
    public = await make_network(storage, bridge("10.0.0.0/24", project=""))
    with pytest.raises(NotFound) as refused:
        await make_port(storage, foreign)
    assert refused.value.reason == "NETWORK_NOT_FOUND"
    assert (await make_port(storage, public)).project == "p"


async def test_lists_of_ports(storage: Storage) -> None:
    network = await make_network(storage, bridge("10.0.0.0/24", "fd00::/64", project=""))
    other = await make_network(storage, bridge("10.0.0.0/24", project=""))
    made = [(await make_port(storage, each)).uid for each in (network, other, network)]
    foreign = (await make_port(storage, network, project="q")).uid
    assert await listed(storage, Query(project="p")) == made
    assert await listed(storage, Query()) == [*made, foreign]
    assert await listed(storage, Query(project="p", filter=f'network = "networks/{network.uid}"')) == made[::2]
    assert await listed(storage, Query(project="p", filter=f'network != "networks/{network.uid}"')) == [made[1]]
    assert await listed(storage, Query(project="p", filter='instance = ""')) == made
    assert await listed(storage, Query(project="p", filter=f'instance = "instances/{new_uid()}"')) == []
    first, token = await ports.list_ports(storage, Query(project="p", page_size=2))
    assert [len(port.fixed_ips) for port in first] == [2, 1]
    assert await listed(storage, Query(project="p", page_size=2, page_token=token)) == made[2:]
    with pytest.raises(InvalidArgument):
        await listed(storage, Query(filter='network = "default"'))


async def test_ports_of_others_are_not_there(storage: Storage) -> None:
    network = await make_network(storage, bridge("10.0.0.0/24", project=""))
    port = await make_port(storage, network, project="q")
    for attempt in (ports.get_port, ports.delete_port):
        with pytest.raises(NotFound) as refused:
            await attempt(storage, port.uid, "p")
        assert refused.value.reason == "PORT_NOT_FOUND"
    await ports.delete_port(storage, port.uid, "q")
    with pytest.raises(NotFound):
        await ports.get_port(storage, port.uid, "")


@pytest.fixture
async def one_storage(tmp_path: Path) -> AsyncIterator[SqlStorage]:
    """For searches that try many histories: SQLite will do."""
    database = Database(f"sqlite+aiosqlite:///{tmp_path}/netblock.sqlite3")
    async with database.transaction() as connection:
        await connection.run_sync(METADATA.create_all)
    yield SqlStorage(database)
    await database.close()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from(["bridge", "user"]),
    history=st.lists(st.one_of(st.none(), st.integers(0, 7), st.tuples(st.integers(0, 9))), max_size=20),
)
async def test_whatever_is_made_and_removed_no_address_is_held_twice(
    one_storage: SqlStorage, kind: str, history: list[int | tuple[int] | None]
) -> None:
    """None makes a port, a number removes that one of those there are, a tuple asks for a certain address."""
    wanted = bridge("10.0.0.0/29", gateway="10.0.0.3") if kind == "bridge" else user("10.0.0.0/24")
    network = await make_network(one_storage, wanted)
    (subnet,) = network.subnets
    pool = KINDS[network.kind].pool(subnet)
    everything = {str(pool.address(slot)) for slot in range(pool.slots)}
    held: dict[str, Port] = {}
    for step in history:
        if isinstance(step, int):
            for address, port in itertools.islice(list(held.items()), step, step + 1):
                await ports.delete_port(one_storage, port.uid, "p")
                del held[address]
            continue
        asked = [str(pool.address(step[0] % pool.slots))] if step else []
        try:
            port = await make_port(one_storage, network, *asked)
        except ResourceExhausted:
            assert set(held) == everything
        except AlreadyExists:
            assert set(asked) <= set(held)
        else:
            (address,) = ips(port)
            assert address in everything - set(held)
            assert not asked or [address] == asked
            held[address] = port


async def create(storage: Storage, wanted: WantedPort) -> Port:
    return await ports.create_port(storage, wanted, clock=clock, random_bits=secrets.randbits)


async def listed(storage: Storage, query: Query) -> list[str]:
    found, _ = await ports.list_ports(storage, query)
    return [port.uid for port in found]
