"""Accepting CreateInstance: everything that can be known beforehand is asked beforehand."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from api_svc.domain import fields, lifecycle, placement, policy
from api_svc.domain.commands import CreateInstance
from api_svc.domain.image import Image
from api_svc.domain.instance import Instance, Placed, Port, Spec
from api_svc.domain.operation import Operation, Result
from api_svc.domain.placement import Capacity
from api_svc.domain.policy import Caller
from api_svc.domain.states import TaskState, Verb
from api_svc.ports import Catalogue, Netblock, Session, Store, Work
from api_svc.usecases.accepting import as_plan, claim_new, leased, request_of
from api_svc.usecases.board import Bell
from api_svc.usecases.replay import replay
from svckit import tracing
from svckit.clock import Clock
from svckit.errors import NotFound, ProtostarError, Resource, ResourceExhausted
from svckit.failpoints import failpoint


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """How much there may be. `instances` is per project, 0 for no limit."""

    capacity: Capacity = field(default_factory=Capacity)
    instances: int = 0


class Creation:
    """See the module."""

    def __init__(
        self,
        store: Store,
        work: Work,
        catalogue: Catalogue,
        netblock: Netblock,
        bell: Bell,
        clock: Clock,
        limits: Limits,
    ) -> None:
        self._store = store
        self._work = work
        self._catalogue = catalogue
        self._netblock = netblock
        self._bell = bell
        self._clock = clock
        self._limits = limits

    async def create(self, caller: Caller, command: CreateInstance) -> Operation:
        """The operation that makes it; for validate_only, its plan.

        :raise ProtostarError: IMAGE_NOT_FOUND, INVALID_FIELD, NETWORK_NOT_FOUND, PORT_NOT_FOUND, PORT_IN_USE,
            QUOTA_EXCEEDED, NO_CAPACITY, INSTANCE_ALREADY_EXISTS; nothing has changed.
        """
        policy.require(caller, "instance.create")
        try:
            operation, placed = await self._accept(caller, command)
        except ProtostarError as refusal:
            return await replay(self._store, caller, command.envelope, refusal)
        if command.envelope.validate_only:
            return as_plan(operation, Result(instance=placed.instance))
        await failpoint("api.accept.after_commit")
        self._bell.ring()
        self._work.take(operation, placed)
        return operation

    async def _accept(self, caller: Caller, command: CreateInstance) -> tuple[Operation, Placed]:
        image = await self._catalogue.get(command.image)
        fields.check_fits_image(command.flavor, image)
        command = await self._with_network(caller, command)
        await self._netblock.bind(command.uid, caller.project, command.ports, command.volumes, validate_only=True)
        instance = self._instance(caller, command, image)
        operation = self._operation(caller, instance, command)
        if command.envelope.validate_only:
            async with self._store.reading() as session:
                return operation, await self._place(session, instance)
        async with self._store.transaction() as session:
            placed = await self._place(session, instance)
            operation = leased(replace(operation, host=placed.instance.host), self._work.lease())
            await claim_new(session, placed.instance, operation)
        return operation, placed

    async def _with_network(self, caller: Caller, command: CreateInstance) -> CreateInstance:
        if command.ports or command.without_network:
            return command
        network = await self._netblock.default_network(caller.project)
        if network is None:
            raise NotFound(
                'no ports were given and there is no network "default"; make one, name a port or a network, '
                "or set without_network",
                reason="NETWORK_NOT_FOUND",
                metadata={"network": "default"},
                resource=Resource("network", "default"),
            )
        return replace(command, ports=(Port(network=network),))

    async def _place(self, session: Session, instance: Instance) -> Placed:
        hosts = await session.hosts.lock_all()
        await self._check_quota(session, instance.project)
        host = placement.choose(hosts, instance.spec.flavor, self._limits.capacity, self._clock())
        return Placed(instance=replace(instance, host=host.name), host=host)

    async def _check_quota(self, session: Session, project: str) -> None:
        limit = self._limits.instances
        if not limit:
            return
        used = await session.instances.count(project)
        if used >= limit:
            raise ResourceExhausted(
                f"project {project!r} has {used} of {limit} instances; delete one, or raise PROTOSTAR_QUOTA_INSTANCES",
                reason="QUOTA_EXCEEDED",
                metadata={"project": project, "resource": "instances", "limit": str(limit), "used": str(used)},
            )

    def _instance(self, caller: Caller, command: CreateInstance, image: Image) -> Instance:
        """As it is from its first moment on: claimed by the operation that makes it."""
        now = self._clock()
        fresh = Instance(
            uid=command.uid,
            display_name=command.display_name,
            project=caller.project,
            user=caller.user,
            spec=_spec(command, image),
            ports=command.ports,
            volumes=command.volumes,
            user_data=command.user_data,
            metadata=command.metadata,
            policy=command.policy,
            create_time=now,
            update_time=now,
        )
        return lifecycle.begin(fresh, TaskState.SPAWNING, str(uuid.uuid4()), now)

    def _operation(self, caller: Caller, instance: Instance, command: CreateInstance) -> Operation:
        return Operation(
            uid=instance.current_operation,
            verb=Verb.CREATE,
            target=instance.name,
            project=instance.project,
            actor=caller.name,
            task=TaskState.SPAWNING,
            generation=instance.generation,
            create_time=instance.create_time,
            deadline=command.deadline,
            not_before=instance.create_time,
            trace=tracing.carrier(),
            request=request_of(caller, command.envelope),
        )


def _spec(command: CreateInstance, image: Image) -> Spec:
    """The image is copied in: a later change of it never alters a guest."""
    return Spec(
        flavor=command.flavor,
        image=image.uid,
        image_properties=dict(image.properties),
        image_disk_format=image.disk_format,
        config_drive=command.config_drive or _mandatory_drive(image.properties),
        ports=command.ports,
        volumes=command.volumes,
    )


def _mandatory_drive(properties: Mapping[str, str]) -> bool:
    return properties.get("img_config_drive") == "mandatory"
