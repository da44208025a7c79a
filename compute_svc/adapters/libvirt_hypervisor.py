"""The Hypervisor port on libvirt: one thread hop and one span a call, libvirt's errors in our words.

Nothing here knows what an instance is: a domain has a name and a UUID, and is ours when its metadata says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, TypeVar

import libvirt

from compute_svc.adapters.libvirt_connection import Connection
from compute_svc.adapters.libvirt_errors import translate
from compute_svc.adapters.libvirt_events import Events, Subscription
from compute_svc.adapters.libvirt_threads import Call, Threads
from compute_svc.adapters.qemu_log import QemuLogs
from compute_svc.domain import power
from compute_svc.domain.guest import Guest, HostFacts
from svckit import tracing
from svckit.errors import FailedPrecondition, NotFound, Unavailable

T = TypeVar("T")

_READ_SECONDS = 15.0
_CHANGE_SECONDS = 60.0
# A boot takes long on a host that boots many; destroy waits 15 s itself before it gives up.
_LAUNCH_SECONDS = 120.0
# How long a cancelled change is waited for: what cancelled it wants to undo it, and must know what there is to undo.
_WIND_DOWN_SECONDS = 2.0
_LATE_SECONDS = 20.0

_SHUTOFF = {
    libvirt.VIR_DOMAIN_SHUTOFF_SHUTDOWN: "shutdown",
    libvirt.VIR_DOMAIN_SHUTOFF_DESTROYED: "destroyed",
    libvirt.VIR_DOMAIN_SHUTOFF_CRASHED: "crashed",
    libvirt.VIR_DOMAIN_SHUTOFF_FAILED: "failed",
    libvirt.VIR_DOMAIN_SHUTOFF_DAEMON: "daemon",
}
_PAUSED = {libvirt.VIR_DOMAIN_PAUSED_IOERROR: "ioerror", libvirt.VIR_DOMAIN_PAUSED_STARTING_UP: "starting up"}
_RUNNING = {libvirt.VIR_DOMAIN_RUNNING_BOOTED: "booted", libvirt.VIR_DOMAIN_RUNNING_UNPAUSED: "resumed"}
_REASONS: dict[int, tuple[dict[int, str], str]] = {
    libvirt.VIR_DOMAIN_RUNNING: (_RUNNING, "started"),
    libvirt.VIR_DOMAIN_PAUSED: (_PAUSED, "paused"),
    libvirt.VIR_DOMAIN_SHUTOFF: (_SHUTOFF, ""),
    libvirt.VIR_DOMAIN_CRASHED: ({}, "crashed"),
    libvirt.VIR_DOMAIN_PMSUSPENDED: ({}, "suspended"),
}
_UNDEFINE_ALL = (
    libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
    | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
    | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
)
_KEEP_STATE = libvirt.VIR_DOMAIN_UNDEFINE_KEEP_NVRAM | libvirt.VIR_DOMAIN_UNDEFINE_KEEP_TPM
_DROP_STATE = libvirt.VIR_DOMAIN_UNDEFINE_NVRAM | libvirt.VIR_DOMAIN_UNDEFINE_TPM


class LibvirtHypervisor:
    """See ports.Hypervisor."""

    def __init__(
        self,
        connection: Connection,
        threads: Threads,
        events: Events,
        logs: QemuLogs,
        *,
        name_of: Callable[[str], str],
        owned: Callable[[str], bool],
    ) -> None:
        self._connection = connection
        self._threads = threads
        self._events = events
        self._logs = logs
        self._name_of = name_of
        self._owned = owned
        # Changes that were given up and may still happen.
        self._late: dict[str, Call] = {}

    # --- looking ---

    async def host(self) -> HostFacts:
        return await self._connection.facts()

    async def guest(self, uid: str) -> Guest:
        return await self._call("look", uid, partial(self._look, uid), _READ_SECONDS)

    async def guests(self) -> list[Guest]:
        return await self._call("list", "", self._list, _READ_SECONDS)

    def watch(self, uid: str = "") -> AbstractContextManager[Subscription]:
        return self._events.watch(uid)

    async def log_size(self, uid: str) -> int:
        return await self._logs.size(self._name_of(uid))

    async def log_tail(self, uid: str) -> str:
        return await self._logs.tail(self._name_of(uid))

    # --- changing ---

    async def define(self, uid: str, xml: str) -> None:
        await self._change("define", uid, partial(self._define, uid, xml))

    async def undefine(self, uid: str, *, keep_state: bool) -> None:
        flags = _UNDEFINE_ALL | (_KEEP_STATE if keep_state else _DROP_STATE)
        # The test driver keeps neither and refuses flags that it does not know.
        flags = 0 if self._connection.testing else flags
        await self._change("undefine", uid, partial(self._undefine, uid, flags))
        if not keep_state:
            await self._logs.remove(self._name_of(uid))

    async def launch(self, uid: str) -> None:
        await self._change("create", uid, partial(self._create, uid), _LAUNCH_SECONDS)

    async def destroy(self, uid: str) -> None:
        """Also ends a launch that hangs, or one that was given up and comes through after all."""
        await self._call("destroy", uid, partial(self._destroy, uid), _CHANGE_SECONDS, changes=True)
        if uid in self._late:
            await self._wait_for_late(uid)
            await self._call("destroy", uid, partial(self._destroy, uid), _CHANGE_SECONDS, changes=True)

    async def shutdown(self, uid: str) -> None:
        flags = 0 if self._connection.testing else libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN
        await self._change("shutdown", uid, partial(self._shutdown, uid, flags))

    # --- calls ---

    async def _change(
        self, name: str, uid: str, function: Callable[[Any], Any], seconds: float = _CHANGE_SECONDS
    ) -> None:
        await self._wait_for_late(uid)
        await self._call(name, uid, function, seconds, changes=True)

    async def _call(
        self, name: str, uid: str, function: Callable[[Any], T], seconds: float, *, changes: bool = False
    ) -> T:
        with tracing.span(f"libvirt {name}", {"protostar.instance": uid} if uid else None):
            call = self._threads.submit(partial(function, self._connection.current()))
            try:
                await asyncio.wait([call.future], timeout=seconds)
            except asyncio.CancelledError:
                await self._wind_down(uid, call, _WIND_DOWN_SECONDS if changes else 0.0)
                raise
            if not call.future.done():
                self._give_up(uid, call, changes=changes)
                raise Unavailable(
                    f"libvirt {name} did not return within {seconds:g} s, and whether it will happen is not known",
                    reason="LIBVIRT_UNRESPONSIVE",
                    metadata={"libvirt_call": name},
                )
            try:
                return call.future.result()  # type: ignore[no-any-return]
            except libvirt.libvirtError as error:
                self._connection.suspect()
                raise translate(error, name) from error

    async def _wind_down(self, uid: str, call: Call, seconds: float) -> None:
        try:
            if seconds:
                await asyncio.wait([call.future], timeout=seconds)
        finally:
            if not call.future.done():
                self._give_up(uid, call, changes=bool(seconds))
            elif not call.future.cancelled():
                call.future.exception()

    def _give_up(self, uid: str, call: Call, *, changes: bool) -> None:
        self._threads.give_up(call)
        if changes and not call.future.done():
            self._late[uid] = call
            call.future.add_done_callback(lambda _: self._forget_late(uid, call))

    def _forget_late(self, uid: str, call: Call) -> None:
        if self._late.get(uid) is call:
            del self._late[uid]

    async def _wait_for_late(self, uid: str) -> None:
        late = self._late.get(uid)
        if late is None:
            return
        await asyncio.wait([late.future], timeout=_LATE_SECONDS)
        if not late.future.done():
            raise Unavailable(
                "an earlier call to libvirt for this guest has not returned", reason="LIBVIRT_UNRESPONSIVE"
            )

    # --- in a thread ---

    def _ours(self, uid: str, connection: libvirt.virConnect, flags: int = 0) -> tuple[libvirt.virDomain, str] | None:
        """A domain and its XML; None when there is none.

        :raise FailedPrecondition: DOMAIN_NOT_OURS.
        """
        try:
            domain = connection.lookupByUUIDString(uid)
            xml = domain.XMLDesc(flags)
        except libvirt.libvirtError as error:
            if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
                return None
            raise
        if not self._owned(xml):
            raise FailedPrecondition(
                f"libvirt has a domain {uid} that Protostar did not make; it is not touched. Rename or remove it",
                reason="DOMAIN_NOT_OURS",
                metadata={"domain": uid},
            )
        return domain, xml

    def _look(self, uid: str, connection: libvirt.virConnect) -> Guest:
        found = self._ours(uid, connection, libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE)
        if found is None:
            return Guest.unknown(uid)
        domain, xml = found
        try:
            return _seen(uid, domain, xml if domain.isPersistent() else None)
        except libvirt.libvirtError as error:
            if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
                return Guest.unknown(uid)
            raise

    def _define(self, uid: str, xml: str, connection: libvirt.virConnect) -> None:
        self._ours(uid, connection)
        connection.defineXML(xml)

    def _undefine(self, uid: str, flags: int, connection: libvirt.virConnect) -> None:
        found = self._ours(uid, connection)
        if found is not None and found[0].isPersistent():
            found[0].undefineFlags(flags)

    def _create(self, uid: str, connection: libvirt.virConnect) -> None:
        found = self._ours(uid, connection)
        if found is None:
            raise NotFound(f"no domain {uid} is defined", reason="DOMAIN_NOT_FOUND", metadata={"domain": uid})
        if found[0].isActive():
            raise FailedPrecondition(f"domain {uid} runs already", reason="DOMAIN_INVALID_STATE")
        found[0].create()

    def _destroy(self, uid: str, connection: libvirt.virConnect) -> None:
        _if_active(self._ours(uid, connection), lambda domain: domain.destroy())

    def _shutdown(self, uid: str, flags: int, connection: libvirt.virConnect) -> None:
        _if_active(self._ours(uid, connection), lambda domain: domain.shutdownFlags(flags))

    def _list(self, connection: libvirt.virConnect) -> list[Guest]:
        guests = []
        for domain in connection.listAllDomains():
            uid = domain.UUIDString()
            if domain.name() != self._name_of(uid):
                continue
            try:
                if self._owned(domain.XMLDesc(0)):
                    guests.append(_seen(uid, domain, None))
            except libvirt.libvirtError as error:
                if error.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:
                    raise
        return guests


def _seen(uid: str, domain: libvirt.virDomain, definition: str | None) -> Guest:
    state, reason = domain.state()
    words, other = _REASONS.get(state, ({}, ""))
    return Guest(
        uid=uid,
        active=bool(domain.isActive()),
        power=power.from_libvirt(state),
        reason=words.get(reason, other),
        definition=definition,
    )


def _if_active(found: tuple[libvirt.virDomain, str] | None, act: Callable[[libvirt.virDomain], object]) -> None:
    """A guest that goes off by itself just now is as good as one that was off."""
    if found is None or not found[0].isActive():
        return
    try:
        act(found[0])
    except libvirt.libvirtError:
        if _is_active(found[0]):
            raise


def _is_active(domain: libvirt.virDomain) -> bool:
    try:
        return bool(domain.isActive())
    except libvirt.libvirtError:
        return True  # not known to be off
