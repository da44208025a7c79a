from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from netblock_svc.domain.default_network import DEFAULT_NETWORK_UID
from netblock_svc.domain.network import Network
from netblock_svc.ports import Storage
from netblock_svc.usecases import networks
from netblock_svc.usecases.pages import Query
from svckit.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound, PermissionDenied
from tests.fakes.netblock_values import bridge, clock, make_network, make_port, new_uid


async def test_a_network_is_read_back_as_it_was_made(storage: Storage) -> None:
    wanted = bridge("10.0.0.0/24", "fd00::/64", dns=("10.0.0.2", "fd00::2"))
    made = await networks.create_network(storage, replace(wanted, mtu=9000), clock)
    assert await networks.get_network(storage, made.uid, "p") == made
    assert [str(subnet.cidr) for subnet in made.subnets] == ["10.0.0.0/24", "fd00::/64"]


async def test_the_same_request_again_answers_what_was_made(storage: Storage) -> None:
    wanted = bridge("10.0.0.0/24")
    made = await make_network(storage, wanted)
    assert await make_network(storage, wanted) == made
    for other in (replace(wanted, mtu=9000), replace(wanted, project="q"), replace(wanted, display_name="other")):
        with pytest.raises(AlreadyExists) as refused:
            await make_network(storage, other)
        assert refused.value.reason == "NETWORK_ALREADY_EXISTS"


async def test_names_are_unique_within_a_project(storage: Storage) -> None:
    made = await make_network(storage, bridge("10.0.0.0/24"))
    twin = replace(bridge("10.0.0.0/24"), display_name=made.display_name)
    with pytest.raises(AlreadyExists):
        await make_network(storage, twin)
    assert (await make_network(storage, replace(twin, project="q"))).display_name == made.display_name


async def test_of_many_who_want_one_name_one_gets_it(storage: Storage) -> None:
    wanted = [replace(bridge("10.0.0.0/24"), display_name="one") for _ in range(8)]
    results = await asyncio.gather(*(make_network(storage, each) for each in wanted), return_exceptions=True)
    assert sum(isinstance(result, Network) for result in results) == 1
    assert sum(isinstance(result, AlreadyExists) for result in results) == 7


async def test_who_may_see_what(storage: Storage) -> None:
    own = await make_network(storage, bridge("10.0.0.0/24", project="p"))
    public = await make_network(storage, bridge("10.0.0.0/24", project=""))
    foreign = await make_network(storage, bridge("10.0.0.0/24", project="q"))
    assert await listed(storage, Query(project="p")) == [own.uid, public.uid]
    assert await listed(storage, Query()) == [own.uid, public.uid, foreign.uid]
    with pytest.raises(NotFound) as refused:
        await networks.get_network(storage, foreign.uid, "p")
    assert refused.value.reason == "NETWORK_NOT_FOUND"


async def test_pages_go_on_where_the_last_one_ended(storage: Storage) -> None:
    made = [(await make_network(storage, bridge("10.0.0.0/24"))).uid for _ in range(5)]
    first, token = await networks.list_networks(storage, Query(page_size=2))
    await networks.delete_network(storage, first[1].uid, "")
    second, token = await networks.list_networks(storage, Query(page_size=2, page_token=token))
    last, end = await networks.list_networks(storage, Query(page_size=2, page_token=token))
    assert [network.uid for network in (*first, *second, *last)] == made
    assert end == ""


async def test_a_page_that_ends_with_the_list_is_the_last(storage: Storage) -> None:
    await make_network(storage, bridge("10.0.0.0/24"))
    assert (await networks.list_networks(storage, Query(page_size=1)))[1] == ""


async def test_filters(storage: Storage) -> None:
    one = await make_network(storage, bridge("10.0.0.0/24"))
    other = await make_network(storage, bridge("10.0.0.0/24"))
    assert await listed(storage, Query(filter=f'display_name = "{one.display_name}"')) == [one.uid]
    assert await listed(storage, Query(filter=f'display_name != "{one.display_name}"')) == [other.uid]
    assert await listed(storage, Query(filter='display_name = "nobody\'s"')) == []


@pytest.mark.parametrize(
    "query",
    [
        Query(page_size=-1),
        Query(page_token="x"),
        Query(filter="nonsense"),
        Query(filter='mtu = "1"'),
        Query(filter='display_name = "\0"'),
    ],
)
async def test_lists_that_are_not_asked_for_properly(storage: Storage, query: Query) -> None:
    with pytest.raises(InvalidArgument):
        await networks.list_networks(storage, query)


async def test_a_token_belongs_to_its_filter_and_project(storage: Storage) -> None:
    for _ in range(2):
        await make_network(storage, bridge("10.0.0.0/24"))
    _, token = await networks.list_networks(storage, Query(page_size=1, project="p"))
    for other in (Query(page_token=token), Query(page_token=token, project="p", filter='display_name = "x"')):
        with pytest.raises(InvalidArgument):
            await networks.list_networks(storage, other)


async def test_a_network_with_ports_stays(storage: Storage) -> None:
    network = await make_network(storage, bridge("10.0.0.0/24"))
    await make_port(storage, network)
    with pytest.raises(FailedPrecondition) as refused:
        await networks.delete_network(storage, network.uid, "p")
    assert refused.value.reason == "NETWORK_IN_USE"
    assert await networks.get_network(storage, network.uid, "p") == network


async def test_deleting(storage: Storage) -> None:
    network = await make_network(storage, bridge("10.0.0.0/24"))
    with pytest.raises(NotFound):
        await networks.delete_network(storage, network.uid, "q")
    await networks.delete_network(storage, network.uid, "p")
    with pytest.raises(NotFound):
        await networks.delete_network(storage, network.uid, "p")
    with pytest.raises(NotFound):
        await networks.get_network(storage, network.uid, "p")


async def test_what_belongs_to_everybody_is_only_the_administrators_to_delete(storage: Storage) -> None:
    public = await make_network(storage, bridge("10.0.0.0/24", project=""))
    with pytest.raises(PermissionDenied):
        await networks.delete_network(storage, public.uid, "p")
    await networks.delete_network(storage, public.uid, "")
    assert await listed(storage, Query()) == []


async def test_a_port_and_the_end_of_its_network_do_not_meet(storage: Storage) -> None:
    network = await make_network(storage, bridge("10.0.0.0/24"))
    port, deleted = await asyncio.gather(
        make_port(storage, network), networks.delete_network(storage, network.uid, "p"), return_exceptions=True
    )
    if isinstance(port, NotFound):
        assert deleted is None
    else:
        assert not isinstance(port, BaseException)
        assert isinstance(deleted, FailedPrecondition)


async def test_the_default_network_is_made_once(storage: Storage) -> None:
    await asyncio.gather(*(networks.ensure_default_network(storage, clock) for _ in range(4)))
    await networks.ensure_default_network(storage, clock)
    assert await listed(storage, Query(project=new_uid())) == [DEFAULT_NETWORK_UID]


async def test_another_default_network_of_everybodys_is_respected(storage: Storage) -> None:
    theirs = await make_network(storage, replace(bridge("10.0.0.0/24", project=""), display_name="default"))
    await networks.ensure_default_network(storage, clock)
    assert await listed(storage, Query()) == [theirs.uid]


async def listed(storage: Storage, query: Query) -> list[str]:
    found, _ = await networks.list_networks(storage, query)
    return [network.uid for network in found]
