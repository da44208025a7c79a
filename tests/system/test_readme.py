"""The README's walk-through, pasted as it stands into a shell; only ports and data directory are this test's."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stack import ROOT

SERVICES = ("API", "COMPUTE", "IMAGE", "NETBLOCK")


@pytest.fixture
def environment() -> Iterator[dict[str, str]]:
    sockets = [socket.socket() for _ in SERVICES]
    for listener in sockets:
        listener.bind(("127.0.0.1", 0))
    ports = {name: listener.getsockname()[1] for name, listener in zip(SERVICES, sockets, strict=True)}
    for listener in sockets:
        listener.close()
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("PROTOSTAR_", "OTEL_"))}
    with tempfile.TemporaryDirectory(prefix="ps-", dir="/tmp") as folder:
        addresses = {f"PROTOSTAR_{name}_ADDRESS": f"127.0.0.1:{port}" for name, port in ports.items()}
        ours = {**inherited, **addresses, "PROTOSTAR_DATA_DIR": folder}
        yield ours
        subprocess.run(
            [ROOT / ".venv/bin/protostar", "down"], env=ours, cwd=ROOT, capture_output=True, timeout=60, check=False
        )


def walk_through() -> str:
    """The shell block under "With grpcurl"."""
    block = re.search(r"## With grpcurl.*?```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert block, "the README has no walk-through"
    return block[1]


@pytest.mark.timeout(300)
def test_walk_through_works_when_pasted(environment: dict[str, str], guest_image: Path) -> None:
    script = walk_through().replace("127.0.0.1:50051", environment["PROTOSTAR_API_ADDRESS"])
    assert len(script.strip().splitlines()) <= 12
    run = subprocess.run(["bash"], input=script, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=280)
    told = f"{run.stdout}\n--- stderr\n{run.stderr}"
    assert run.returncode == 0, told
    assert re.search(r'"vm_state":\s*"VM_STATE_ACTIVE"', run.stdout), run.stdout
    assert "Code: FailedPrecondition" in run.stderr and "INSTANCE_INVALID_STATE" in run.stderr, told
    assert "step launch" in run.stdout, told
