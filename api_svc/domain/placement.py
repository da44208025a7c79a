"""Which host an instance is put on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from api_svc.domain.host import Host
from api_svc.domain.instance import Flavor
from api_svc.domain.states import HostState
from svckit.errors import ResourceExhausted


@dataclass(frozen=True, kw_only=True, slots=True)
class Capacity:
    """What a host may promise, as multiples of what it has (Nova's allocation ratios: 16 and 1.5)."""

    cpu_overcommit: float = 16.0
    memory_overcommit: float = 1.5
    silent_after: timedelta = timedelta(seconds=30)


def choose(hosts: Iterable[Host], flavor: Flavor, capacity: Capacity, now: datetime) -> Host:
    """The host that answers, fits, and has the most memory left to promise; the first by name among equals.

    :raise ResourceExhausted: NO_CAPACITY.
    """
    known = sorted(hosts, key=lambda host: host.name)
    fitting = [host for host in known if _answers(host, capacity, now) and _fits(host, flavor, capacity)]
    if not fitting:
        raise ResourceExhausted(
            f"none of {len(known)} hosts answers and has room for {flavor.vcpus} vcpus and {flavor.memory_mib} MiB; "
            "delete instances, add a host, or raise PROTOSTAR_CPU_OVERCOMMIT or PROTOSTAR_MEMORY_OVERCOMMIT",
            reason="NO_CAPACITY",
            metadata={"vcpus": str(flavor.vcpus), "memory_mib": str(flavor.memory_mib), "hosts": str(len(known))},
        )
    return max(fitting, key=lambda host: _memory_left(host, capacity))


def _answers(host: Host, capacity: Capacity, now: datetime) -> bool:
    return host.state is HostState.UP and not host.is_silent(now, capacity.silent_after)


def _fits(host: Host, flavor: Flavor, capacity: Capacity) -> bool:
    vcpus_left = host.facts.vcpus * capacity.cpu_overcommit - host.usage.vcpus
    return vcpus_left >= flavor.vcpus and _memory_left(host, capacity) >= flavor.memory_mib


def _memory_left(host: Host, capacity: Capacity) -> float:
    return host.facts.memory_mib * capacity.memory_overcommit - host.usage.memory_mib
