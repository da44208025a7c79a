"""Guests as the kernel sees them."""

from __future__ import annotations

from pathlib import Path


def guest_pid(uid: str) -> int:
    """The QEMU of an instance."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if uid.encode() in command and b"qemu-system" in command.split(b"\0")[0]:
            return int(entry.name)
    raise AssertionError(f"no guest of {uid} runs")
