from __future__ import annotations

from datetime import UTC, datetime

import pytest

from netblock_svc.domain.binding import WantedDisk, WantedInterface, check_binding, is_bound_as
from netblock_svc.domain.port import Port
from svckit.errors import InvalidArgument
from tests.fakes.netblock_values import binding


def port(uid: str, network: str, *, made: bool) -> Port:
    return Port(
        uid=uid,
        display_name="",
        project="p",
        network=network,
        mac_address="fa:16:3e:00:00:01",
        fixed_ips=(),
        create_time=datetime(2026, 1, 1, tzinfo=UTC),
        instance="i",
        position=0,
        made_for_instance=made,
    )


@pytest.mark.parametrize(
    ("ports", "wanted", "same"),
    [
        ([], [], True),
        ([port("a", "n", made=False)], [WantedInterface(port="a")], True),
        ([port("a", "n", made=True)], [WantedInterface(network="n")], True),
        ([port("a", "n", made=True)], [WantedInterface(network="m")], False),
        ([port("a", "n", made=False)], [WantedInterface(network="n")], False),
        ([port("a", "n", made=False)], [WantedInterface(port="b")], False),
        ([port("a", "n", made=False)], [], False),
        ([port("a", "n", made=True)], [WantedInterface(network="n")] * 2, False),
    ],
)
def test_is_bound_as(ports: list[Port], wanted: list[WantedInterface], same: bool) -> None:
    assert is_bound_as(ports, wanted) is same


@pytest.mark.parametrize(
    ("interfaces", "disks", "field"),
    [
        ([WantedInterface()], [], "ports[0]"),
        ([WantedInterface(port="a", network="n")], [], "ports[0]"),
        ([WantedInterface(port="a"), WantedInterface(port="a")], [], "ports[1]"),
        ([], [WantedDisk(volume="v"), WantedDisk(volume="v")], "volumes[1]"),
        ([], [WantedDisk(volume="v", device="vdb"), WantedDisk(volume="w", device="vdb")], "volumes[1]"),
    ],
)
def test_refused_bindings(interfaces: list[WantedInterface], disks: list[WantedDisk], field: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        check_binding(binding("i", *interfaces, disks=tuple(disks)))
    assert refused.value.metadata["field"] == field


def test_the_same_network_may_be_named_twice() -> None:
    twice = (WantedInterface(network="n"), WantedInterface(network="n"))
    check_binding(binding("i", *twice))
