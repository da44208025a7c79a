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
Request = (
    svc.CreateInstanceRequest
    | svc.StartInstanceRequest
    | svc.StopInstanceRequest
    | svc.RebootInstanceRequest
    | svc.DeleteInstanceRequest
)
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
    return send(client, request(verb, uid, image, seconds))


def send(client: Client, wanted: Request) -> operations_pb2.Operation:
    """Send it until it is acknowledged; the same again is the same."""
    stub = client.instances
    call = {
        svc.CreateInstanceRequest: stub.CreateInstance,
        svc.StartInstanceRequest: stub.StartInstance,
        svc.StopInstanceRequest: stub.StopInstance,
        svc.RebootInstanceRequest: stub.RebootInstance,
        svc.DeleteInstanceRequest: stub.DeleteInstance,
    }[type(wanted)]
    return patiently(lambda: call(wanted, timeout=20))


def request(verb: Verb, uid: str, image: str = "", seconds: float = 60) -> Request:
    """A request with an id of its own, to be carried out within so many seconds."""
    identity = {"name": f"instances/{uid}", "request_id": str(uuid.uuid4())}
    timed = {**identity, "deadline": within(seconds)}
    match verb:
        case Verb.CREATE:
            instance = instance_pb2.Instance(display_name=uid[:8], image=image, flavor=FLAVOR, config_drive=True)
            del timed["name"]
            return svc.CreateInstanceRequest(instance=instance, instance_id=uid, **timed)
        case Verb.START:
            return svc.StartInstanceRequest(repair=True, **timed)
        case Verb.STOP:
            return svc.StopInstanceRequest(mode=svc.STOP_MODE_FORCE, **timed)
        case Verb.GRACEFUL_STOP:
            return svc.StopInstanceRequest(mode=svc.STOP_MODE_GRACEFUL, **timed)
        case Verb.REBOOT:
            return svc.RebootInstanceRequest(mode=svc.REBOOT_MODE_HARD, **timed)
        case Verb.SOFT_REBOOT:
            return svc.RebootInstanceRequest(mode=svc.REBOOT_MODE_SOFT, **timed)
        case Verb.DELETE:
            return svc.DeleteInstanceRequest(**identity)
