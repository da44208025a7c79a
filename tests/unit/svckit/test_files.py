"""Atomic writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from svckit.files import write_atomically


def test_replaces_and_leaves_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "journal.json"
    write_atomically(target, b"old")
    write_atomically(target, b"new", durable=False)
    assert target.read_bytes() == b"new"
    assert [p.name for p in tmp_path.iterdir()] == ["journal.json"]


def test_full_disk_keeps_the_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "journal.json"
    write_atomically(target, b"old")
    monkeypatch.setattr("os.fsync", _no_space)
    with pytest.raises(OSError, match="No space"):
        write_atomically(target, b"new")
    assert target.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["journal.json"]


def _no_space(_descriptor: int) -> None:
    raise OSError(28, "No space left on device")
