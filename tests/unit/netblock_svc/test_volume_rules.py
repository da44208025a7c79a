from __future__ import annotations

from datetime import UTC, datetime

import pytest

from netblock_svc.domain.volume import VolumeState, parse_device, plan_volume
from svckit.errors import InvalidArgument

NOW = datetime(2026, 1, 1, tzinfo=UTC)
UID = "7f7c1f2e-0000-4000-8000-000000000001"


def test_a_planned_volume_is_not_seen_before_it_is_there() -> None:
    volume = plan_volume(UID, "p", "data", 3, "", NOW)
    assert (volume.format, volume.state) == ("qcow2", VolumeState.CREATING)
    assert not volume.is_visible_to("p")
    assert not volume.is_visible_to("")


@pytest.mark.parametrize(
    ("display_name", "size_gib", "image_format", "field"),
    [
        ("", 1, "raw", "volume.display_name"),
        ("data", 0, "raw", "volume.size_gib"),
        ("data", -1, "raw", "volume.size_gib"),
        ("data", 65_537, "raw", "volume.size_gib"),
        ("data", 1, "vmdk", "volume.format"),
        ("data", 1, "qcow2,backing_file=/etc/shadow", "volume.format"),
    ],
)
def test_refused_volumes(display_name: str, size_gib: int, image_format: str, field: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        plan_volume(UID, "p", display_name, size_gib, image_format, NOW)
    assert refused.value.metadata["field"] == field


@pytest.mark.parametrize(
    ("text", "device"),
    [("", ""), ("vdb", "vdb"), ("/dev/vdb", "vdb"), ("sda", "sda"), ("hdc", "hdc"), ("vdaa", "vdaa")],
)
def test_accepted_devices(text: str, device: str) -> None:
    assert parse_device(text, "device") == device


@pytest.mark.parametrize(
    "text", ["vd", "vdB", "vd1", "vdb1", "nvme0n1", "/dev/../vdb", "vdb\n", "vdabc", "sr0", "/dev/"]
)
def test_refused_devices(text: str) -> None:
    with pytest.raises(InvalidArgument):
        parse_device(text, "device")
