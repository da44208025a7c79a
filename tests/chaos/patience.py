"""What a careful client does: the same request again, with the same request_id, for as long as nobody answers."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import TypeVar

import grpc
from google.longrunning import operations_pb2
from google.protobuf.timestamp_pb2 import Timestamp
from protostar.api.v1 import instance_pb2
from protostar.api.v1 import instance_service_pb2 as svc
from protostar.api.v1 import operation_pb2 as op

from tests.chaos.points import Verb
from tests.client import Client, metadata

T = TypeVar("T")
_NOT_ANSWERED = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
FLAVOR = instance_pb2.Flavor(vcpus=1, memory_mib=32)


def patiently(call: Callable[[], T], seconds: float = 60) -> T:
    """The answer, however often it takes to get one."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return call()
        except grpc.RpcError as error:
            if error.code() not in _NOT_ANSWERED or time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def ended(client: Client, operation: operations_pb2.Operation, seconds: float = 90) -> operations_pb2.Operation:
    """The operation when it is done, over any number of restarts of the server."""
    deadline = time.monotonic() + seconds
    while not operation.done:
        assert time.monotonic() < deadline, f"not done after {seconds} s: {told(operation)}"
        request = operations_pb2.WaitOperationRequest(name=operation.name)
        request.timeout.FromSeconds(10)
        operation = patiently(lambda request=request: client.operations.WaitOperation(request, timeout=15))
    return operation


def told(operation: operations_pb2.Operation) -> str:
    """An operation in one line."""
    about = metadata(operation)
    steps = " ".join(f"{step.name}:{op.StepState.Name(step.state).rpartition('_')[2]}" for step in about.steps)
    state = op.OperationState.Name(about.state).rpartition("_")[2]
    error = f"{operation.error.code} {operation.error.message}" if operation.HasField("error") else "no error"
    reasons = b" ".join(detail.value for detail in operation.error.details)
    return f"{operation.name} {state} attempt {about.attempt} [{steps}] {about.waiting_for!r} {error} {reasons!r}"


def within(seconds: float) -> Timestamp:
    """A deadline so long from now."""
    return Timestamp(seconds=int(time.time() + seconds))


def ask(client: Client, verb: Verb, uid: str, image: str = "", seconds: float = 60) -> operations_pb2.Operation:
    """Ask for a verb until the request is acknowledged."""
    name, request_id, deadline = f"instances/{uid}", str(uuid.uuid4()), within(seconds)
    stub = client.instances
    match verb:
        case Verb.CREATE:
            instance = instance_pb2.Instance(display_name=uid[:8], image=image, flavor=FLAVOR, config_drive=True)
            create = svc.CreateInstanceRequest(
                instance=instance, instance_id=uid, request_id=request_id, deadline=deadline
            )
            return patiently(lambda: stub.CreateInstance(create, timeout=20))
        case Verb.START:
            start = svc.StartInstanceRequest(name=name, request_id=request_id, deadline=deadline, repair=True)
            return patiently(lambda: stub.StartInstance(start, timeout=20))
        case Verb.STOP | Verb.GRACEFUL_STOP:
            stop_mode = svc.STOP_MODE_FORCE if verb is Verb.STOP else svc.STOP_MODE_GRACEFUL
            stop = svc.StopInstanceRequest(name=name, request_id=request_id, deadline=deadline, mode=stop_mode)
            return patiently(lambda: stub.StopInstance(stop, timeout=20))
        case Verb.REBOOT | Verb.SOFT_REBOOT:
            mode = svc.REBOOT_MODE_HARD if verb is Verb.REBOOT else svc.REBOOT_MODE_SOFT
            reboot = svc.RebootInstanceRequest(name=name, request_id=request_id, deadline=deadline, mode=mode)
            return patiently(lambda: stub.RebootInstance(reboot, timeout=20))
        case Verb.DELETE:
            delete = svc.DeleteInstanceRequest(name=name, request_id=request_id)
            return patiently(lambda: stub.DeleteInstance(delete, timeout=20))
