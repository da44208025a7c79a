"""Settings every service has."""

from __future__ import annotations

from pathlib import Path

import pytest

from svckit.config import Settings


def test_folders_follow_the_data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROTOSTAR_DATA_DIR", str(tmp_path))
    monkeypatch.delenv("PROTOSTAR_INSTANCES_PATH", raising=False)
    assert Settings.read().instances_path == tmp_path / "instances"


@pytest.mark.parametrize("address", ["127.0.0.1:1", "[::1]:1", "localhost:1", "unix:/tmp/x.sock"])
def test_loopback_is_served(address: str) -> None:
    assert Settings.read(api_address=address).api_address == address


@pytest.mark.parametrize("address", ["0.0.0.0:1", "10.0.0.1:1", "[::]:1", "example:1"])
def test_other_addresses_are_refused(address: str) -> None:
    with pytest.raises(ValueError, match=r"loopback|does not appear"):
        Settings.read(api_address=address)


def test_a_bad_value_names_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROTOSTAR_DRAIN_SECONDS", "-1")
    with pytest.raises(ValueError, match="PROTOSTAR_DRAIN_SECONDS"):
        Settings.read()
