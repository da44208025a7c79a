"""What every back end of volumes must do; the fake and the real one."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from netblock_svc.adapters.file_volumes import FileVolumes
from netblock_svc.ports import VolumeBackend
from svckit.errors import Internal, ResourceExhausted
from tests.fakes.netblock import FakeVolumeBackend
from tests.fakes.netblock_values import wanted_volume

# The real qemu-img, for which no file may be longer than 64 KiB; it is told so instead of being killed.
_CRAMPED = """#!/bin/sh
trap '' XFSZ
ulimit -f {blocks}
exec {program} "$@"
"""


@pytest.fixture(params=["fake", "files"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> VolumeBackend:
    return FakeVolumeBackend() if request.param == "fake" else FileVolumes(tmp_path / "volumes")


@pytest.fixture(params=["fake", "files"])
def full_backend(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> VolumeBackend:
    """One that has room for nothing."""
    if request.param == "fake":
        return FakeVolumeBackend(room_gib=0)
    _cramp_qemu_img(tmp_path, monkeypatch)
    return FileVolumes(tmp_path / "volumes")


@pytest.mark.parametrize("image_format", ["qcow2", "raw"])
async def test_what_was_made_can_be_reached_until_it_is_removed(backend: VolumeBackend, image_format: str) -> None:
    volume, other = wanted_volume(image_format=image_format), wanted_volume()
    assert await backend.connections([volume]) == {}
    await backend.create(volume)
    connections = await backend.connections([volume, other])
    assert list(connections) == [volume.uid]
    connection = connections[volume.uid]
    assert (connection.format, connection.access_mode) == (image_format, "rw")
    assert Path(connection.device_path).is_absolute()
    await backend.delete(volume)
    assert await backend.connections([volume]) == {}


async def test_making_again_and_removing_again_succeed(backend: VolumeBackend) -> None:
    volume = wanted_volume()
    await backend.create(volume)
    await backend.create(volume)
    assert volume.uid in await backend.connections([volume])
    await backend.delete(volume)
    await backend.delete(volume)


@pytest.mark.parametrize("image_format", ["qcow2", "raw"])
async def test_no_room_leaves_nothing_behind(full_backend: VolumeBackend, image_format: str, tmp_path: Path) -> None:
    volume = wanted_volume(image_format=image_format)
    with pytest.raises(ResourceExhausted) as refused:
        await full_backend.create(volume)
    assert refused.value.reason == "NO_SPACE"
    assert await full_backend.connections([volume]) == {}
    assert list(tmp_path.glob("volumes/.*")) + list(tmp_path.glob("volumes/*")) == []


@pytest.mark.parametrize("image_format", ["qcow2", "raw"])
async def test_files_are_what_their_names_say(tmp_path: Path, image_format: str) -> None:
    volume = wanted_volume(size_gib=3, image_format=image_format)
    await FileVolumes(tmp_path).create(volume)
    (path,) = tmp_path.iterdir()
    assert path.name == f"{volume.uid}.{image_format}"
    assert path.stat().st_mode & 0o777 == 0o600
    described = subprocess.run(
        ["qemu-img", "info", "-f", image_format, "--output=json", path], check=True, capture_output=True
    )
    facts = json.loads(described.stdout)
    assert (facts["format"], facts["virtual-size"]) == (image_format, 3 * 1024**3)
    assert "backing-filename" not in facts
    assert path.stat().st_blocks * 512 < 1024**2


async def test_a_folder_in_the_place_of_the_file_cannot_be_reached(tmp_path: Path) -> None:
    volume = wanted_volume()
    (tmp_path / f"{volume.uid}.qcow2").mkdir()
    assert await FileVolumes(tmp_path).connections([volume]) == {}


async def test_another_failure_is_not_taken_for_a_full_disk(tmp_path: Path) -> None:
    volume = wanted_volume()
    backend = FileVolumes(tmp_path / "volumes")
    (tmp_path / "volumes").rmdir()
    with pytest.raises(Internal) as failed:
        await backend.create(volume)
    assert failed.value.reason == "TOOL_FAILED"


def _cramp_qemu_img(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = subprocess.run(["which", "qemu-img"], check=True, capture_output=True, text=True).stdout.strip()
    script = folder / "bin" / "qemu-img"
    script.parent.mkdir()
    script.write_text(_CRAMPED.format(blocks=64 * 1024 // 512, program=real))
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{script.parent}{os.pathsep}{os.environ['PATH']}")
