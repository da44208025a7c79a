"""Power states and the time to shut down: nova-behaviour, sections 1.1 and 1.5."""

from __future__ import annotations

import libvirt
import pytest
from protostar.api.v1 import instance_pb2

from compute_svc.domain.model import PowerState
from compute_svc.domain.power import from_libvirt, shutdown_timeout


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (libvirt.VIR_DOMAIN_NOSTATE, PowerState.NO_STATE),
        (libvirt.VIR_DOMAIN_RUNNING, PowerState.RUNNING),
        (libvirt.VIR_DOMAIN_BLOCKED, PowerState.RUNNING),
        (libvirt.VIR_DOMAIN_PAUSED, PowerState.PAUSED),
        (libvirt.VIR_DOMAIN_SHUTDOWN, PowerState.SHUTDOWN),
        (libvirt.VIR_DOMAIN_SHUTOFF, PowerState.SHUTDOWN),
        (libvirt.VIR_DOMAIN_CRASHED, PowerState.CRASHED),
        (libvirt.VIR_DOMAIN_PMSUSPENDED, PowerState.SUSPENDED),
        (8, PowerState.UNKNOWN),
        (-1, PowerState.UNKNOWN),
    ],
)
def test_what_libvirt_says(state: int, expected: PowerState) -> None:
    assert from_libvirt(state) is expected


def test_each_state_has_its_place_on_the_wire() -> None:
    wire = {name.removeprefix("POWER_STATE_") for name in instance_pb2.PowerState.keys()}  # noqa: SIM118
    assert {state.value for state in PowerState} == wire - {"UNSPECIFIED"}
    assert all(state.name == state.value for state in PowerState)


@pytest.mark.parametrize(
    ("requested", "properties", "seconds"),
    [
        (None, {}, 60.0),
        (None, {"os_shutdown_timeout": "300"}, 300.0),
        (5.5, {"os_shutdown_timeout": "300"}, 5.5),
        (0.0, {"os_shutdown_timeout": "300"}, 0.0),
        (-1.0, {}, 0.0),
        (None, {"os_shutdown_timeout": "0"}, 0.0),
        (None, {"os_shutdown_timeout": ""}, 60.0),
        (None, {"os_shutdown_timeout": "soon"}, 60.0),
        (None, {"os_shutdown_timeout": "-5"}, 60.0),
        (None, {"os_shutdown_timeout": "1e9"}, 60.0),
        (None, {"os_shutdown_timeout": "9" * 400}, 86400.0),
    ],
)
def test_how_long_a_guest_may_take(requested: float | None, properties: dict[str, str], seconds: float) -> None:
    assert shutdown_timeout(requested, properties) == seconds
