"""Who may do what: one table of action and role. Readers read, members change what their project owns, admins all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from svckit.errors import NotFound, PermissionDenied


class Role(StrEnum):
    """What a caller is in his project; an admin is one everywhere."""

    ADMIN = "admin"
    MEMBER = "member"
    READER = "reader"


@dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    """Who asks."""

    user: str
    project: str
    roles: frozenset[Role]

    @property
    def is_admin(self) -> bool:
        """Whether other projects' things are his too."""
        return Role.ADMIN in self.roles

    @property
    def scope(self) -> str | None:
        """The one project he sees; None for all."""
        return None if self.is_admin else self.project

    @property
    def name(self) -> str:
        """As operations name their actor."""
        return f"users/{self.user}"

    def sees(self, project: str) -> bool:
        """Whether what belongs to `project` exists for him."""
        return self.is_admin or project == self.project


LOCAL_ADMIN = Caller(user="admin", project="default", roles=frozenset({Role.ADMIN}))

_ALL = frozenset(Role)
_CHANGERS = frozenset({Role.ADMIN, Role.MEMBER})
_ADMINS = frozenset({Role.ADMIN})

PERMISSIONS: Mapping[str, frozenset[Role]] = {
    **{f"instance.{verb}": _ALL for verb in ("get", "list", "watch", "console")},
    **{
        f"instance.{verb}": _CHANGERS
        for verb in ("create", "delete", "start", "stop", "reboot", "update", "lock", "unlock")
    },
    # Nova: unlock_override. What an admin locked, an admin unlocks.
    "instance.unlock_override": _ADMINS,
    **{f"operation.{verb}": _ALL for verb in ("get", "list", "wait", "watch")},
    **{f"operation.{verb}": _CHANGERS for verb in ("cancel", "delete")},
    **{f"{kind}.{verb}": _ALL for kind in ("image", "network", "port", "volume") for verb in ("get", "list")},
    **{f"image.{verb}": _ADMINS for verb in ("import", "delete")},
    **{f"{kind}.{verb}": _CHANGERS for kind in ("network", "port", "volume") for verb in ("create", "delete")},
    **{f"volume.{verb}": _CHANGERS for verb in ("attach", "detach")},
    **{f"host.{verb}": _ADMINS for verb in ("get", "list")},
}


def require(caller: Caller, permission: str) -> None:
    """Let him pass.

    :raise PermissionDenied: none of his roles has this permission.
    """
    if caller.roles & PERMISSIONS[permission]:
        return
    needed = ", ".join(sorted(PERMISSIONS[permission]))
    raise PermissionDenied(
        f"user {caller.user!r} may not do {permission} in project {caller.project!r}; it takes the role {needed}",
        metadata={"permission": permission, "user": caller.user, "project": caller.project},
    )


def require_visible(caller: Caller, project: str, kind: str, name: str) -> None:
    """What other projects own does not exist for him.

    :raise NotFound: it is not his and he is no admin.
    """
    if not caller.sees(project):
        raise NotFound.of(kind, name)
