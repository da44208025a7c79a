"""A plain client of the public door, as a user would write one."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import grpc
from google.longrunning import operations_pb2, operations_pb2_grpc
from google.protobuf.message import Message
from protostar.api.v1 import (
    host_pb2_grpc,
    image_pb2,
    image_pb2_grpc,
    instance_pb2,
    instance_service_pb2,
    instance_service_pb2_grpc,
    network_pb2_grpc,
    operation_pb2,
    operation_pb2_grpc,
    volume_pb2_grpc,
)

Answer = TypeVar("Answer", bound=Message)


class Client:
    """Stubs for every public service at one address, and the few steps that every test repeats."""

    def __init__(self, address: str) -> None:
        self.channel = grpc.insecure_channel(address)
        self.instances = instance_service_pb2_grpc.InstanceServiceStub(self.channel)
        self.images = image_pb2_grpc.ImageServiceStub(self.channel)
        self.networks = network_pb2_grpc.NetworkServiceStub(self.channel)
        self.volumes = volume_pb2_grpc.VolumeServiceStub(self.channel)
        self.hosts = host_pb2_grpc.HostServiceStub(self.channel)
        self.operations = operations_pb2_grpc.OperationsStub(self.channel)
        self.watcher = operation_pb2_grpc.OperationServiceStub(self.channel)

    def close(self) -> None:
        self.channel.close()

    def wait(self, operation: operations_pb2.Operation, seconds: float = 120) -> operations_pb2.Operation:
        """The operation when it is done."""
        request = operations_pb2.WaitOperationRequest(name=operation.name)
        request.timeout.FromSeconds(int(seconds))
        done = self.operations.WaitOperation(request, timeout=seconds + 5)
        assert done.done, f"{operation.name} is not done after {seconds} s: {metadata(done)}"
        return done

    def finish(self, operation: operations_pb2.Operation, kind: type[Answer], seconds: float = 120) -> Answer:
        """The response of an operation that must succeed."""
        done = self.wait(operation, seconds)
        assert not done.HasField("error"), f"{done.error}\n{metadata(done)}"
        return unpack(done.response, kind)

    def import_image(self, path: Path, name: str = "guest", **properties: str) -> image_pb2.Image:
        image = image_pb2.Image(display_name=name, properties=properties)
        request = image_pb2.ImportImageRequest(image=image, source=str(path))
        return self.finish(self.images.ImportImage(request), image_pb2.Image)

    def create(self, image: str, name: str = "vm", **fields: Any) -> operations_pb2.Operation:
        """CreateInstance of a small instance; `fields` are fields of Instance."""
        flavor = fields.pop("flavor", instance_pb2.Flavor(vcpus=1, memory_mib=256, root_gib=1))
        wanted = instance_pb2.Instance(display_name=name, image=image, flavor=flavor, **fields)
        request = instance_service_pb2.CreateInstanceRequest(instance=wanted, request_id=str(uuid.uuid4()))
        return self.instances.CreateInstance(request)

    def get(self, name: str) -> instance_pb2.Instance:
        return self.instances.GetInstance(instance_service_pb2.GetInstanceRequest(name=name))

    def start(self, name: str, **fields: Any) -> operations_pb2.Operation:
        return self.instances.StartInstance(instance_service_pb2.StartInstanceRequest(name=name, **fields))

    def stop(self, name: str, **fields: Any) -> operations_pb2.Operation:
        return self.instances.StopInstance(instance_service_pb2.StopInstanceRequest(name=name, **fields))

    def reboot(self, name: str, **fields: Any) -> operations_pb2.Operation:
        return self.instances.RebootInstance(instance_service_pb2.RebootInstanceRequest(name=name, **fields))

    def delete(self, name: str, **fields: Any) -> operations_pb2.Operation:
        return self.instances.DeleteInstance(instance_service_pb2.DeleteInstanceRequest(name=name, **fields))

    def console(self, name: str) -> str:
        request = instance_service_pb2.GetConsoleOutputRequest(name=name, max_bytes=1 << 20)
        return self.instances.GetConsoleOutput(request).output.replace("\r\n", "\n")

    def console_after(self, name: str, words: str, boots: int, seconds: float = 90) -> str:
        """The console once `words` have been said `boots` times; a guest under emulation takes its time."""
        deadline = time.monotonic() + seconds
        while (text := self.console(name)).count(words) < boots:
            assert time.monotonic() < deadline, f"{words!r} was not said {boots} times within {seconds} s:\n{text}"
            time.sleep(0.2)
        return text


def metadata(operation: operations_pb2.Operation) -> operation_pb2.OperationMetadata:
    return unpack(operation.metadata, operation_pb2.OperationMetadata)


def steps(operation: operations_pb2.Operation) -> dict[str, operation_pb2.Step]:
    return {step.name: step for step in metadata(operation).steps}


def unpack(packed: Any, kind: type[Answer]) -> Answer:
    message = kind()
    assert packed.Unpack(message), f"expected {kind.DESCRIPTOR.full_name}, got {packed.type_url}"
    return message


def guest_says(console: str) -> Iterator[str]:
    """What our guest said, line by line, without its prefix."""
    for line in console.splitlines():
        if line.startswith("protostar-guest: "):
            yield line.removeprefix("protostar-guest: ").strip()


def by_last_boot(console: str) -> str:
    """The console since the last boot marker."""
    return console[console.rindex("=== protostar: boot") :]


def flat(mapping: Mapping[str, str]) -> set[str]:
    return {f"metadata {key}={value}" for key, value in mapping.items()}
