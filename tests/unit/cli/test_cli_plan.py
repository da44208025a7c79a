"""What a supervisor is told to run, and when it tries again."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from cli.supervisor import logs, plan, restarts

ADDRESSES = {"api": "127.0.0.1:1", "compute": "127.0.0.1:2", "image": "127.0.0.1:3", "netblock": "127.0.0.1:4"}


def test_a_plan_survives_its_journey() -> None:
    made = plan.services(Path("/data"), ADDRESSES, {"PROTOSTAR_LIBVIRT_URI": "test:///default"}, 2.5, "/usr/bin/python")
    assert plan.Plan.from_json(made.to_json()) == made


def test_services_are_told_everything_by_their_environment() -> None:
    made = plan.services(Path("/data"), ADDRESSES, {"PROTOSTAR_LIBVIRT_URI": "test:///default"}, 2.5)
    assert made.environment == {
        "PROTOSTAR_DATA_DIR": "/data",
        "PROTOSTAR_DRAIN_SECONDS": "2.5",
        "PROTOSTAR_LIBVIRT_URI": "test:///default",
        "PROTOSTAR_API_ADDRESS": "127.0.0.1:1",
        "PROTOSTAR_COMPUTE_ADDRESS": "127.0.0.1:2",
        "PROTOSTAR_IMAGE_ADDRESS": "127.0.0.1:3",
        "PROTOSTAR_NETBLOCK_ADDRESS": "127.0.0.1:4",
    }


def test_the_door_closes_before_what_stands_behind_it() -> None:
    order = {p.name: p.stop_order for p in plan.services(Path("/data"), ADDRESSES, {}, 1).programs}
    assert order["api_svc"] < order["compute_svc"] < order["image_svc"] == order["netblock_svc"]


def test_the_longest_data_dir_leaves_room_for_a_unix_socket() -> None:
    socket = "x" * plan.LONGEST_DATA_DIR + "/libvirt/lib/qemu/domain-12345-" + "n" * 20 + "/monitor.sock"
    assert len(socket) == 107  # sun_path holds 108, the last is its end


@given(st.integers(min_value=0, max_value=10_000))
def test_patience_grows_and_has_a_limit(failures: int) -> None:
    assert 0 < restarts.delay(failures) <= restarts.delay(failures + 1) <= restarts.LONGEST_SECONDS


def test_a_long_life_clears_the_record() -> None:
    assert restarts.failures_after(8, restarts.STABLE_SECONDS) == 1
    assert restarts.failures_after(8, restarts.STABLE_SECONDS - 0.1) == 9


def test_a_large_log_is_put_aside_when_it_is_opened(tmp_path: Path) -> None:
    (tmp_path / "svc.log").write_text("x" * 11)
    for _ in range(2):
        logs.open_log(tmp_path, "svc", large=10)
    assert (tmp_path / "svc.log").read_text() == ""
    assert (tmp_path / "svc.log.1").read_text() == "x" * 11


def test_the_tail_of_a_log_is_its_last_lines(tmp_path: Path) -> None:
    (tmp_path / "svc.log").write_bytes(b"".join(b"line %d\n" % n for n in range(100)) + b"\xff")
    assert logs.tail(tmp_path / "svc.log", 2) == ["line 99", "�"]
    assert logs.tail(tmp_path / "nothing.log") == []
