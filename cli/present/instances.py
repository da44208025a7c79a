"""Instances in tables. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from protostar.api.v1 import instance_pb2
from rich.text import Text

from cli.present import terminal, words
from cli.present.tables import Cell, Column, state


def columns(now: float) -> Sequence[Column]:
    """What a list of instances shows."""
    return (
        Column("NAME", lambda i: i.display_name),
        Column("STATE", state_of, importance=8),
        Column("POWER", lambda i: state(words.enum(i, "power_state")), importance=4),
        Column("ADDRESSES", addresses, importance=6),
        Column("SIZE", lambda i: size(i.flavor), importance=3),
        Column("HOST", lambda i: words.uid(i.host), importance=2),
        Column("AGE", lambda i: words.age(i.create_time, now), importance=1),
        Column("ID", lambda i: i.uid, importance=7),
    )


def fields(instance: instance_pb2.Instance) -> Sequence[tuple[str, Cell]]:
    """What is shown of one instance."""
    seen = words.moment(instance.power_state_observed_at)
    return (
        ("name", instance.display_name),
        ("id", instance.uid),
        ("state", state_of(instance)),
        ("power", state(words.enum(instance, "power_state")) + Text(f"  seen {seen}" if seen else "", style="quiet")),
        ("fault", fault(instance)),
        ("locked", f"yes, {instance.lock_reason or 'no reason given'}" if instance.locked else ""),
        ("operation", instance.current_operation),
        ("size", size(instance.flavor)),
        ("image", words.uid(instance.image)),
        ("host", words.uid(instance.host)),
        *_numbered("network", [network(port) for port in instance.ports]),
        *_numbered("volume", [f"{words.uid(v.volume)}  {v.device}" for v in instance.volumes]),
        ("config drive", "yes" if instance.config_drive else "no"),
        ("user data", f"{len(instance.user_data)} bytes" if instance.user_data else ""),
        *_numbered("metadata", [f"{key}={value}" for key, value in sorted(instance.metadata.items())]),
        ("owner", " in ".join(filter(None, (instance.user, instance.project)))),
        ("created", words.moment(instance.create_time)),
        ("launched", words.moment(instance.launch_time)),
        ("generation", str(instance.generation)),
    )


def state_of(instance: instance_pb2.Instance) -> Text:
    """The state, and what is being done."""
    text = state(words.enum(instance, "vm_state"))
    task = words.enum(instance, "task_state")
    if task not in ("", "NONE"):
        text.append(f" · {task}", style="busy")
    if instance.locked:
        text.append(" · locked", style="quiet")
    return text


def addresses(instance: instance_pb2.Instance) -> str:
    """All IP addresses."""
    return ", ".join(address for port in instance.ports for address in port.ip_addresses)


def size(flavor: instance_pb2.Flavor) -> str:
    """1 vcpu, 256 MiB, 1 GiB root."""
    parts = [f"{flavor.vcpus} vcpu", f"{flavor.memory_mib} MiB"]
    for amount, unit in (
        (flavor.root_gib, "GiB root"),
        (flavor.ephemeral_gib, "GiB more"),
        (flavor.swap_mib, "MiB swap"),
    ):
        if amount:
            parts.append(f"{amount} {unit}")
    return ", ".join(parts)


def network(port: instance_pb2.InstancePort) -> str:
    """One interface."""
    return "  ".join(filter(None, (", ".join(port.ip_addresses), port.mac_address, port.port)))


def fault(instance: instance_pb2.Instance) -> Text:
    """Why the last operation failed; empty when it did not."""
    if not instance.HasField("fault"):
        return Text()
    what = instance.fault
    step = f" at step {what.step}" if what.step else ""
    return terminal.styled((f"{what.reason}{step}: {what.message}", "bad"), (f"  {what.operation}", "quiet"))


def _numbered(name: str, values: Sequence[str]) -> list[tuple[str, Cell]]:
    return [(name if place == 0 else "", value) for place, value in enumerate(values)]
