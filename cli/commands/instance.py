"""protostar instance …"""

from __future__ import annotations

import time
import uuid
from typing import Annotated

import typer
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from protostar.api.v1 import instance_pb2
from protostar.api.v1 import instance_service_pb2 as service_pb2

from cli.client import resolve
from cli.client.api import Api
from cli.command import command
from cli.commands import instance_create, instance_watch
from cli.commands.arguments import Deadline, DryRun, Filter, InstanceArgument, Limit, Wait, deadline, pairs
from cli.commands.conclude import conclude
from cli.present import instances, messages, tables, terminal
from cli.session import Session

app = typer.Typer(no_args_is_help=True, help="Virtual machines.")
_LOOK = "Look"
_POWER = "Power"
_CHANGE = "Change"
Join = Annotated[bool, typer.Option("--join", help="Be content when it is already there, or on its way.")]


@command(app, "list", rich_help_panel=_LOOK)
async def list_(session: Session, api: Api, filter_: Filter = "", limit: Limit = 0) -> None:
    """The instances you may see, oldest first.

    Filter fields: display_name, vm_state, task_state, power_state, host, project, image, locked, metadata.KEY.
    """
    request = service_pb2.ListInstancesRequest(filter=filter_)
    answer = await api.every(api.instances.ListInstances, request, limit)
    if session.as_json:
        messages.show(answer)
        return
    empty = "no instances; `protostar instance create NAME --image IMAGE` makes one"
    tables.show(instances.columns(time.time()), answer.instances, "none match" if filter_ else empty)


@command(app, "show", rich_help_panel=_LOOK)
async def show(session: Session, api: Api, instance: InstanceArgument) -> None:
    """Everything about one instance."""
    found = await _get(api, instance)
    if session.as_json:
        messages.show(found)
    else:
        tables.show_fields(instances.fields(found))


command(app, "console", rich_help_panel=_LOOK)(instance_watch.console)
command(app, "watch", rich_help_panel=_LOOK)(instance_watch.watch)


@command(app, "start", rich_help_panel=_POWER)
async def start(
    session: Session,
    api: Api,
    instance: InstanceArgument,
    repair: Annotated[bool, typer.Option("--repair", help="Make every part anew, changed or not.")] = False,
    join: Join = False,
    deadline_: Deadline = None,
    dry_run: DryRun = False,
    wait: Wait = True,
) -> None:
    """Boot a stopped instance."""
    request = service_pb2.StartInstanceRequest(
        name=await resolve.name_of(api, resolve.INSTANCE, instance),
        request_id=str(uuid.uuid4()),
        validate_only=dry_run,
        deadline=deadline(deadline_),
        on_conflict=_on_conflict(join),
        repair=repair,
    )
    operation = await api.call(api.instances.StartInstance, request)
    await conclude(api, session, operation, headline=f"Starting {instance}", called=instance, wait=wait)


@command(app, "stop", rich_help_panel=_POWER)
async def stop(
    session: Session,
    api: Api,
    instance: InstanceArgument,
    force: Annotated[bool, typer.Option("--force", help="Cut the power.")] = False,
    grace: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", min=0, max=3600, help="Cut the power only after this.", show_default=False),
    ] = None,
    join: Join = False,
    deadline_: Deadline = None,
    dry_run: DryRun = False,
    wait: Wait = True,
) -> None:
    """Shut an instance down; its disks and addresses stay."""
    request = service_pb2.StopInstanceRequest(
        name=await resolve.name_of(api, resolve.INSTANCE, instance),
        request_id=str(uuid.uuid4()),
        validate_only=dry_run,
        deadline=deadline(deadline_),
        on_conflict=_on_conflict(join),
        mode=service_pb2.STOP_MODE_FORCE if force else service_pb2.STOP_MODE_GRACEFUL,
        grace_period=None if grace is None else _seconds(grace),
    )
    operation = await api.call(api.instances.StopInstance, request)
    await conclude(api, session, operation, headline=f"Stopping {instance}", called=instance, wait=wait)


@command(app, "reboot", rich_help_panel=_POWER)
async def reboot(
    session: Session,
    api: Api,
    instance: InstanceArgument,
    hard: Annotated[bool, typer.Option("--hard", help="Cut the power and rebuild everything.")] = False,
    deadline_: Deadline = None,
    dry_run: DryRun = False,
    wait: Wait = True,
) -> None:
    """Reboot the guest."""
    request = service_pb2.RebootInstanceRequest(
        name=await resolve.name_of(api, resolve.INSTANCE, instance),
        request_id=str(uuid.uuid4()),
        validate_only=dry_run,
        deadline=deadline(deadline_),
        mode=service_pb2.REBOOT_MODE_HARD if hard else service_pb2.REBOOT_MODE_SOFT,
    )
    operation = await api.call(api.instances.RebootInstance, request)
    await conclude(api, session, operation, headline=f"Rebooting {instance}", called=instance, wait=wait)


command(app, "create", rich_help_panel=_CHANGE)(instance_create.create)


@command(app, "delete", rich_help_panel=_CHANGE)
async def delete(
    session: Session, api: Api, instance: InstanceArgument, dry_run: DryRun = False, wait: Wait = True
) -> None:
    """Remove an instance and its own disks; volumes and ports of their own are released."""
    name = await resolve.name_of(api, resolve.INSTANCE, instance)
    request = service_pb2.DeleteInstanceRequest(name=name, request_id=str(uuid.uuid4()), validate_only=dry_run)
    operation = await api.call(api.instances.DeleteInstance, request)
    await conclude(api, session, operation, headline=f"Deleting {instance}", called=instance, wait=wait)


@command(app, "update", rich_help_panel=_CHANGE)
async def update(
    session: Session,
    api: Api,
    instance: InstanceArgument,
    name: Annotated[str | None, typer.Option(help="A new name.", show_default=False)] = None,
    metadata: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="Set this.", show_default=False)
    ] = None,
    unset: Annotated[
        list[str] | None, typer.Option(metavar="KEY", help="Remove this metadata.", show_default=False)
    ] = None,
) -> None:
    """Rename an instance, change its metadata; the guest reads the new metadata at its next start."""
    if name is None and not metadata and not unset:
        raise typer.BadParameter("nothing to change: give --name, --metadata or --unset")
    current = await _get(api, instance)
    kept = {key: value for key, value in current.metadata.items() if key not in (unset or ())}
    wanted = instance_pb2.Instance(name=current.name, etag=current.etag)
    wanted.display_name = current.display_name if name is None else name
    wanted.metadata.update({**kept, **pairs(metadata or (), "--metadata")})
    request = service_pb2.UpdateInstanceRequest(
        instance=wanted, update_mask=FieldMask(paths=["display_name", "metadata"]), request_id=str(uuid.uuid4())
    )
    _changed(session, await api.call(api.instances.UpdateInstance, request), "is changed")


@command(app, "lock", rich_help_panel=_CHANGE)
async def lock(
    session: Session,
    api: Api,
    instance: InstanceArgument,
    reason: Annotated[str, typer.Option(help="Why, for whoever meets the lock.", show_default=False)] = "",
) -> None:
    """Forbid changes to everybody but admins."""
    name = await resolve.name_of(api, resolve.INSTANCE, instance)
    request = service_pb2.LockInstanceRequest(name=name, reason=reason, request_id=str(uuid.uuid4()))
    _changed(session, await api.call(api.instances.LockInstance, request), "is locked")


@command(app, "unlock", rich_help_panel=_CHANGE)
async def unlock(session: Session, api: Api, instance: InstanceArgument) -> None:
    """Take the lock away."""
    name = await resolve.name_of(api, resolve.INSTANCE, instance)
    request = service_pb2.UnlockInstanceRequest(name=name, request_id=str(uuid.uuid4()))
    _changed(session, await api.call(api.instances.UnlockInstance, request), "is unlocked")


async def _get(api: Api, text: str) -> instance_pb2.Instance:
    name = await resolve.name_of(api, resolve.INSTANCE, text)
    return await api.call(api.instances.GetInstance, service_pb2.GetInstanceRequest(name=name))


def _changed(session: Session, instance: instance_pb2.Instance, how: str) -> None:
    if session.as_json:
        messages.show(instance)
    else:
        terminal.say(("✓ ", "good"), f"{instance.display_name} {how}")


def _on_conflict(join: bool) -> service_pb2.OnConflict.ValueType:
    return service_pb2.ON_CONFLICT_JOIN if join else service_pb2.ON_CONFLICT_REJECT


def _seconds(seconds: float) -> Duration:
    duration = Duration()
    duration.FromNanoseconds(int(seconds * 1e9))
    return duration
