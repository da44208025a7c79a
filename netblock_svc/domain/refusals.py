"""The refusals of this service: each reason is worded once."""

from __future__ import annotations

from svckit.errors import (
    Aborted,
    AlreadyExists,
    FailedPrecondition,
    PermissionDenied,
    Precondition,
    Resource,
    ResourceExhausted,
)


def network_in_use(network: str) -> FailedPrecondition:
    """It has ports."""
    return _in_use("network", network, "it has ports; delete them first")


def port_in_use(port: str, instance: str) -> FailedPrecondition:
    """An instance uses it."""
    return _in_use("port", port, f"instance {instance} uses it; delete the instance first", instance=instance)


def volume_in_use(volume: str, instance: str, device: str = "") -> FailedPrecondition:
    """It is attached."""
    place = f" as {device}" if device else ""
    return _in_use(
        "volume", volume, f"it is attached to instance {instance}{place}; detach it first", instance=instance
    )


def device_in_use(device: str, instance: str) -> FailedPrecondition:
    """The instance has another volume there."""
    return _in_use("device", device, f"instance {instance} has another volume there; name another", instance=instance)


def address_in_use(address: str, field: str) -> AlreadyExists:
    """Another port has this IP or MAC address."""
    return AlreadyExists(
        f"{field}: {address} belongs to another port; ask for another, or for none and get a free one",
        reason="ADDRESS_IN_USE",
        metadata={"address": address, "field": field},
        resource=Resource("address", address),
    )


def no_free_address(network: str, cidr: str) -> ResourceExhausted:
    """All are taken."""
    return ResourceExhausted(
        f"network {network} has no free address left in {cidr}; delete ports that are not needed",
        reason="NO_FREE_ADDRESS",
        metadata={"network": network, "cidr": cidr},
        resource=Resource("network", network),
    )


def instance_already_bound(instance: str) -> AlreadyExists:
    """It was bound with other ports or volumes."""
    return AlreadyExists(
        f"instance {instance} is bound to other ports already; release it before it is bound anew",
        reason="INSTANCE_ALREADY_BOUND",
        metadata={"instance": instance},
        resource=Resource("instance", instance),
    )


def not_the_owner(kind: str, uid: str) -> PermissionDenied:
    """Everybody may see it, but only its owner may change it."""
    return PermissionDenied(
        f"{kind} {uid} belongs to everybody; only an administrator may delete it",
        metadata={kind: uid},
        resource=Resource(kind, uid),
    )


def stale_generation(instance: str, generation: int, newest: int) -> Aborted:
    """A later command for the instance has been obeyed."""
    return Aborted(
        f"generation {generation} of instance {instance} is stale: generation {newest} was obeyed already; read the "
        "instance again",
        reason="STALE_GENERATION",
        metadata={"instance": instance, "generation": str(generation), "newest_generation": str(newest)},
    )


def concurrent_update(what: str) -> Aborted:
    """Somebody else was faster."""
    return Aborted(
        f"{what} was changed by somebody else at the same time; retry", reason="CONCURRENT_UPDATE", retry_after=0.1
    )


def no_space(what: str, why: str) -> ResourceExhausted:
    """The store of volumes has no room."""
    return ResourceExhausted(
        f"{what}: {why}; make room where volumes are stored, or ask for a smaller one",
        reason="NO_SPACE",
        metadata={"cause": why},
    )


def _in_use(kind: str, name: str, why: str, **metadata: str) -> FailedPrecondition:
    return FailedPrecondition(
        f"{kind} {name} is in use: {why}",
        reason=f"{kind.upper()}_IN_USE",
        metadata={kind: name, **metadata},
        resource=Resource(kind, name),
        precondition=Precondition(f"{kind.upper()}_NOT_IN_USE", name, why),
    )
