"""Machines that misbehave on purpose."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

FILES_OF_1_MIB = 'exec prlimit --fsize=1048576 -- "$REAL" "$@"'


@pytest.fixture
def in_front(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Put a script in front of a program; it finds the real one in $REAL."""

    def put(program: str, script: str) -> None:
        real = shutil.which(program)
        stand_in = tmp_path / "bin" / program
        stand_in.parent.mkdir(exist_ok=True)
        stand_in.write_text(f"#!/bin/sh\nREAL={real}\n{script}\n")
        stand_in.chmod(0o755)
        monkeypatch.setenv("PATH", f"{stand_in.parent}:{os.environ['PATH']}")

    return put


@pytest.fixture
def small_disk(tmp_path: Path, in_front: Callable[[str, str], None]) -> Iterator[Path]:
    """A file system of 1 MiB; who may not mount one gets a qemu-img that may write no more than that."""
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder]
    if subprocess.run(command, capture_output=True, check=False).returncode == 0:
        yield folder
        subprocess.run(["umount", "-l", folder], check=True)
    else:
        in_front("qemu-img", FILES_OF_1_MIB)
        yield folder
