"""Guests that libvirt was about to start when its process was killed; the status files are those of libvirt 9.0."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from compute_svc.adapters.libvirt_embed import forget_unborn

_LOCKS = """import fcntl, sys
file = open(sys.argv[1], "r+")
fcntl.lockf(file, fcntl.LOCK_EX)
print("locked", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "run/qemu").mkdir(parents=True)
    (tmp_path / "run/qemu/driver.pid").write_text("1")
    return tmp_path


def _status(root: Path, name: str, pid: int) -> list[Path]:
    """A domain that is being started, with everything that libvirt makes for it; what of it must go or stay."""
    private = root / f"lib/qemu/domain-7-{name}"
    private.mkdir(parents=True)
    status, pid_file = root / f"run/qemu/{name}.xml", root / f"run/qemu/{name}.pid"
    pid_file.touch()
    status.write_text(
        "<!--\nWARNING: THIS IS AN AUTO-GENERATED FILE.\n-->\n\n"
        f"<domstatus state='paused' reason='starting up' pid='{pid}'>\n"
        f"  <monitor path='{private}/monitor.sock' type='unix'/>\n  <job type='none' async='start'/>\n</domstatus>\n"
    )
    return [private, status, pid_file]


def test_one_without_a_process_is_forgotten_and_others_are_not(root: Path) -> None:
    unborn = _status(root, "instance-a", 0)
    born = _status(root, "instance-b", 4711)
    stranger = _status(root, "stranger", 0)
    forget_unborn(root)
    assert not any(path.exists() for path in unborn)
    assert all(path.exists() for path in (*born, *stranger))


def test_a_root_that_somebody_has_open_is_left_alone(root: Path) -> None:
    unborn = _status(root, "instance-a", 0)
    holder = subprocess.Popen(
        [sys.executable, "-c", _LOCKS, root / "run/qemu/driver.pid"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    holder.stdout.readline()
    forget_unborn(root)
    holder.communicate(timeout=10)
    assert all(path.exists() for path in unborn)


def test_a_root_that_was_never_opened_is_fine(tmp_path: Path) -> None:
    forget_unborn(tmp_path)
