"""What somebody does who has grpcurl and nothing else: the real binary against real services."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from protostar.api.v1 import image_pb2, instance_pb2

from tests.client import Client
from tests.stack import ROOT, Stack

Grpcurl = Callable[..., subprocess.CompletedProcess[str]]
SERVICE = "protostar.api.v1.InstanceService"


@pytest.fixture(scope="module")
def grpcurl(stack: Stack) -> Grpcurl:
    binary = shutil.which("grpcurl") or str(ROOT / ".tools/bin/grpcurl")

    def run(*arguments: str, service: str = "api_svc", data: dict[str, Any] | None = None) -> Any:
        flags = ["-plaintext", "-max-time", "60", *(["-d", json.dumps(data)] if data is not None else [])]
        command = [binary, *flags, stack.addresses[service], *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=90)

    return run


def answer(run: subprocess.CompletedProcess[str]) -> Any:
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def test_lists_what_is_served(grpcurl: Grpcurl) -> None:
    listed = set(grpcurl("list").stdout.split())
    ours = {"Instance", "Operation", "Image", "Network", "Volume", "Host"}
    assert {f"protostar.api.v1.{noun}Service" for noun in ours} <= listed
    assert {"google.longrunning.Operations", "grpc.health.v1.Health"} <= listed


@pytest.mark.parametrize("service", ["api_svc", "compute_svc", "image_svc", "netblock_svc"])
def test_every_service_says_that_it_serves(grpcurl: Grpcurl, service: str) -> None:
    assert answer(grpcurl("grpc.health.v1.Health/Check", service=service, data={})) == {"status": "SERVING"}
    named = [name for name in grpcurl("list", service=service).stdout.split() if name.startswith("protostar.")]
    assert named
    for name in named:
        checked = grpcurl("grpc.health.v1.Health/Check", service=service, data={"service": name})
        assert answer(checked) == {"status": "SERVING"}, name


def test_describes_the_contract_with_its_words(grpcurl: Grpcurl) -> None:
    described = grpcurl("describe", f"{SERVICE}.StartInstance").stdout
    assert "returns ( .google.longrunning.Operation )" in described
    assert "OnConflict on_conflict" in grpcurl("describe", "protostar.api.v1.StartInstanceRequest").stdout


def test_starts_an_instance_waits_and_reads_an_error(grpcurl: Grpcurl, client: Client, image: image_pb2.Image) -> None:
    instance = client.finish(client.create(image.name), instance_pb2.Instance)
    client.wait(client.stop(instance.name))

    operation = answer(grpcurl(f"{SERVICE}/StartInstance", data={"name": instance.name}))
    wait = {"name": operation["name"], "timeout": "30s"}
    done = answer(grpcurl("google.longrunning.Operations/WaitOperation", data=wait))
    assert done["done"] is True
    assert done["response"]["instance"]["vm_state"] == "VM_STATE_ACTIVE", "reflection resolves what Any holds"
    assert done["metadata"]["steps"][0]["name"] == "claim"

    refused = grpcurl(f"{SERVICE}/StartInstance", data={"name": instance.name})
    assert refused.returncode != 0
    assert "Code: FailedPrecondition" in refused.stderr
    assert re.search(r'"@type":\s*"type.googleapis.com/google.rpc.ErrorInfo"', refused.stderr)
    assert '"reason":"INSTANCE_INVALID_STATE"' in refused.stderr.replace(" ", "").replace("\n", "")
