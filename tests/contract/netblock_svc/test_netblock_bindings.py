from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator
from datetime import timedelta

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from netblock_svc.domain.binding import Binding, Bound, WantedDisk, WantedInterface
from netblock_svc.ports import Storage
from netblock_svc.usecases import bindings, networks, ports, volumes
from netblock_svc.usecases.pages import Query
from netblock_svc.usecases.volumes import VolumeKeeper
from svckit import tracing
from svckit.errors import Aborted, AlreadyExists, FailedPrecondition, ProtostarError
from tests.fakes.netblock import FakeVolumeBackend
from tests.fakes.netblock_values import (
    binding,
    bridge,
    clock,
    ips,
    make_network,
    make_port,
    new_uid,
    user,
    wanted_volume,
)


async def test_all_is_given_in_the_order_it_was_asked_for(storage: Storage) -> None:
    one, other = await make_network(storage, bridge("10.0.0.0/24")), await make_network(storage, user("10.1.0.0/24"))
    port, volume, instance = await make_port(storage, one), await make_volume(storage), new_uid()
    bound = await bind(
        storage,
        binding(
            instance,
            WantedInterface(network=other.uid),
            WantedInterface(port=port.uid),
            WantedInterface(network=other.uid),
            disks=(WantedDisk(volume=volume, device="vdb"),),
        ),
    )
    assert [each.network for each in bound.ports] == [other.uid, one.uid, other.uid]
    assert [each.position for each in bound.ports] == [0, 1, 2]
    assert [each.made_for_instance for each in bound.ports] == [True, False, True]
    assert {each.instance for each in bound.ports} == {instance}
    assert [ips(each) for each in bound.ports] == [["10.1.0.15"], ["10.0.0.2"], ["10.1.0.47"]]
    (attached,) = bound.volumes
    assert attached.attachment and (attached.attachment.instance, attached.attachment.device) == (instance, "vdb")
    listed, _ = await ports.list_ports(storage, Query(filter=f'instance = "instances/{instance}"'))
    assert {each.uid for each in listed} == {each.uid for each in bound.ports}


async def test_the_same_again_answers_the_same(storage: Storage) -> None:
    network, volume = await make_network(storage, bridge("10.0.0.0/24")), await make_volume(storage)
    wanted = binding(new_uid(), WantedInterface(network=network.uid), disks=(WantedDisk(volume=volume),))
    assert await bind(storage, wanted) == await bind(storage, wanted)


async def test_the_same_many_times_at_once_answers_the_same(storage: Storage) -> None:
    network = await make_network(storage, bridge("10.0.0.0/24"))
    wanted = binding(new_uid(), WantedInterface(network=network.uid), WantedInterface(network=network.uid))
    answers = await asyncio.gather(*(bind(storage, wanted) for _ in range(6)))
    assert set(answers) == {answers[0]}
    assert len((await ports.list_ports(storage, Query()))[0]) == 2


async def test_a_bound_instance_is_not_bound_to_something_else(storage: Storage) -> None:
    network, instance = await make_network(storage, bridge("10.0.0.0/24")), new_uid()
    bound = await bind(storage, binding(instance, WantedInterface(network=network.uid)))
    with pytest.raises(AlreadyExists) as refused:
        await bind(
            storage, binding(instance, WantedInterface(network=network.uid), WantedInterface(network=network.uid))
        )
    assert refused.value.reason == "INSTANCE_ALREADY_BOUND"
    assert [vif.port for vif in await bindings.network_info(storage, instance)] == list(bound.ports)


async def test_an_instance_may_ask_for_nothing(storage: Storage) -> None:
    assert await bind(storage, binding(new_uid())) == Bound(ports=(), volumes=())


async def test_many_instances_over_crossing_networks_wait_in_no_ring(storage: Storage) -> None:
    made = [await make_network(storage, bridge("10.0.0.0/24")) for _ in range(3)]
    orders = [made, made[::-1], [made[1], made[2], made[0]]] * 4
    bound = await asyncio.gather(
        *(bind(storage, binding(new_uid(), *(WantedInterface(network=n.uid) for n in order))) for order in orders)
    )
    held = [(port.network, *ips(port)) for each in bound for port in each.ports]
    assert len(set(held)) == len(held) == 36


@pytest.mark.parametrize(
    ("missing", "reason"),
    [
        ("network", "NETWORK_NOT_FOUND"),
        ("port", "PORT_NOT_FOUND"),
        ("volume", "VOLUME_NOT_FOUND"),
        ("foreign network", "NETWORK_NOT_FOUND"),
        ("foreign port", "PORT_NOT_FOUND"),
        ("foreign volume", "VOLUME_NOT_FOUND"),
        ("used port", "PORT_IN_USE"),
        ("used volume", "VOLUME_IN_USE"),
        ("full network", "NO_FREE_ADDRESS"),
    ],
)
@pytest.mark.parametrize("validate_only", [False, True])
async def test_all_or_nothing(storage: Storage, missing: str, reason: str, validate_only: bool) -> None:
    network = await make_network(storage, bridge("10.0.0.0/24"))
    instance = new_uid()
    good = WantedInterface(network=network.uid)
    interfaces, disks = await bad_part(storage, missing)
    before = await everything(storage)
    with pytest.raises(ProtostarError) as refused:
        await bind(storage, binding(instance, good, *interfaces, disks=disks), validate_only=validate_only)
    assert refused.value.reason == reason
    assert await everything(storage) == before
    assert await bindings.network_info(storage, instance) == []
    assert ips(await make_port(storage, network)) == ["10.0.0.2"]


async def test_validate_only_changes_nothing(storage: Storage) -> None:
    network, volume = await make_network(storage, bridge("10.0.0.0/24")), await make_volume(storage)
    instance, before = new_uid(), await everything(storage)
    wanted = binding(instance, WantedInterface(network=network.uid), disks=(WantedDisk(volume=volume),))
    await bind(storage, wanted, validate_only=True)
    assert await everything(storage) == before
    assert [ips(port) for port in (await bind(storage, wanted)).ports] == [["10.0.0.2"]]


async def test_releasing_removes_what_was_made_and_frees_the_rest(storage: Storage) -> None:
    network, volume = await make_network(storage, bridge("10.0.0.0/24")), await make_volume(storage)
    port, instance = await make_port(storage, network), new_uid()
    await bind(
        storage,
        binding(
            instance,
            WantedInterface(port=port.uid),
            WantedInterface(network=network.uid),
            disks=(WantedDisk(volume=volume),),
        ),
    )
    for _ in range(2):
        await release(storage, instance)
        assert await ports.list_ports(storage, Query()) == ([port], "")
        assert (await volumes.get_volume(storage, volume, "p")).attachment is None
    await ports.delete_port(storage, port.uid, "p")
    await networks.delete_network(storage, network.uid, "p")


async def test_releasing_whom_nobody_knows_succeeds(storage: Storage) -> None:
    await release(storage, new_uid())


async def test_a_late_command_changes_nothing(storage: Storage) -> None:
    """A bind that was on its way when the instance was deleted, and a release that a later bind has overtaken."""
    network, instance = await make_network(storage, bridge("10.0.0.0/24")), new_uid()
    its = WantedInterface(network=network.uid)
    await release(storage, instance, generation=2)
    with pytest.raises(Aborted) as refused:
        await bind(storage, binding(instance, its, generation=1))
    assert (refused.value.reason, refused.value.metadata["newest_generation"]) == ("STALE_GENERATION", "2")
    assert await bindings.network_info(storage, instance) == []
    bound = await bind(storage, binding(instance, its, generation=3))
    with pytest.raises(Aborted):
        await release(storage, instance, generation=2)
    assert [vif.port for vif in await bindings.network_info(storage, instance)] == list(bound.ports)
    await release(storage, instance, generation=3)


async def test_trying_moves_no_fence_and_meets_none(storage: Storage) -> None:
    instance = new_uid()
    await bind(storage, binding(instance, generation=2))
    for generation in (1, 9):
        await bind(storage, binding(instance, generation=generation), validate_only=True)
    await release(storage, instance, generation=2)


async def test_fences_are_forgotten_in_time(storage: Storage) -> None:
    old, other = new_uid(), new_uid()
    await release(storage, old, generation=5)
    await bindings.release_instance(storage, other, 1, clock=lambda: clock() + timedelta(days=2))
    await release(storage, old, generation=1)


async def test_a_port_in_use_stays(storage: Storage) -> None:
    network, instance = await make_network(storage, bridge("10.0.0.0/24")), new_uid()
    bound = await bind(storage, binding(instance, WantedInterface(network=network.uid)))
    with pytest.raises(FailedPrecondition) as refused:
        await ports.delete_port(storage, bound.ports[0].uid, "p")
    assert (refused.value.reason, refused.value.metadata["instance"]) == ("PORT_IN_USE", instance)


async def test_network_info(storage: Storage) -> None:
    dual, instance = await make_network(storage, bridge("10.0.0.0/24", "fd00::/64")), new_uid()
    quiet = await make_network(storage, user("10.64.0.0/12"))
    port = await make_port(storage, dual)
    bound = await bind(storage, binding(instance, WantedInterface(network=quiet.uid), WantedInterface(port=port.uid)))
    vifs = await bindings.network_info(storage, instance)
    assert [vif.port for vif in vifs] == list(bound.ports)
    assert [vif.network for vif in vifs] == [quiet, dual]
    assert [vif.preserve_on_delete for vif in vifs] == [False, True]
    assert [[str(subnet.address) for subnet in vif.subnets] for vif in vifs] == [
        ["10.64.0.15"],
        ["10.0.0.2", "fd00::2"],
    ]
    assert await bindings.network_info(storage, new_uid()) == []


async def test_connected_volumes(storage: Storage) -> None:
    backend, instance = FakeVolumeBackend(), new_uid()
    made = [await make_volume(storage, backend) for _ in range(3)]
    disks = tuple(WantedDisk(volume=uid) for uid in reversed(made))
    await bind(storage, binding(instance, disks=disks))
    del backend.disks[made[1]]
    found = await bindings.connected_volumes(storage, backend, instance)
    assert [each.volume.uid for each in found] == made[::-1]
    assert [each.connection is not None for each in found] == [True, False, True]
    assert await bindings.connected_volumes(storage, backend, new_uid()) == []


async def test_what_a_start_asks_costs_one_statement_each(storage: Storage, spans: InMemorySpanExporter) -> None:
    network, volume = await make_network(storage, bridge("10.0.0.0/24", "fd00::/64")), await make_volume(storage)
    interfaces = [WantedInterface(network=network.uid)] * 3
    await bind(storage, binding(instance := new_uid(), *interfaces, disks=(WantedDisk(volume=volume),)))
    spans.clear()
    await bindings.network_info(storage, instance)
    await bindings.connected_volumes(storage, FakeVolumeBackend(), instance)
    cost = [dict(span.attributes or {})["protostar.statements"] for span in spans.get_finished_spans()]
    assert cost == [1, 1]


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """The spans of this test."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(tracing, "_TRACER", provider.get_tracer("test"))
    yield exporter
    provider.shutdown()


async def bad_part(storage: Storage, missing: str) -> tuple[list[WantedInterface], tuple[WantedDisk, ...]]:
    """What cannot be bound, each for another reason."""
    if missing == "network":
        return [WantedInterface(network=new_uid())], ()
    if missing == "port":
        return [WantedInterface(port=new_uid())], ()
    if missing == "volume":
        return [], (WantedDisk(volume=new_uid()),)
    if missing == "foreign volume":
        return [], (WantedDisk(volume=await make_volume(storage, project="q")),)
    if missing == "used volume":
        volume = await make_volume(storage)
        await bind(storage, binding(new_uid(), disks=(WantedDisk(volume=volume),)))
        return [], (WantedDisk(volume=volume),)
    if missing == "foreign network":
        return [WantedInterface(network=(await make_network(storage, bridge("10.0.0.0/24", project="q"))).uid)], ()
    if missing == "full network":
        full = await make_network(storage, bridge("10.0.0.0/30"))
        await make_port(storage, full)
        return [WantedInterface(network=full.uid)], ()
    public = await make_network(storage, bridge("10.0.0.0/24", project=""))
    port = await make_port(storage, public, project="q" if missing == "foreign port" else "p")
    if missing == "used port":
        await bind(storage, binding(new_uid(), WantedInterface(port=port.uid)))
    return [WantedInterface(port=port.uid)], ()


async def everything(storage: Storage) -> list[object]:
    return [
        await networks.list_networks(storage, Query()),
        await ports.list_ports(storage, Query()),
        await volumes.list_volumes(storage, Query()),
    ]


async def make_volume(storage: Storage, backend: FakeVolumeBackend | None = None, project: str = "p") -> str:
    keeper = VolumeKeeper(storage, backend or FakeVolumeBackend())
    return (await keeper.create(wanted_volume(project=project))).uid


async def release(storage: Storage, instance: str, generation: int = 1) -> None:
    await bindings.release_instance(storage, instance, generation, clock=clock)


async def bind(storage: Storage, wanted: Binding, *, validate_only: bool = False) -> Bound:
    return await bindings.bind_instance(
        storage, wanted, validate_only=validate_only, clock=clock, random_bits=secrets.randbits
    )
