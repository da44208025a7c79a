"""From what people type to resource names: a display name, a uid, or the name itself."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from protostar.api.v1 import image_pb2, instance_service_pb2, network_pb2, volume_pb2

from cli.client.api import Api, Listed
from svckit import names
from svckit.errors import InvalidArgument, NotFound, Resource

_ENOUGH = 20


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of resource: its word, the collection in its names, and where it is listed."""

    noun: str
    collection: str
    service: str
    method: str
    request: Any

    @property
    def entries(self) -> str:
        """The field of the List answer that has them."""
        return self.collection


INSTANCE = Kind(
    noun="instance",
    collection="instances",
    service="instances",
    method="ListInstances",
    request=instance_service_pb2.ListInstancesRequest,
)
IMAGE = Kind(
    noun="image", collection="images", service="images", method="ListImages", request=image_pb2.ListImagesRequest
)
NETWORK = Kind(
    noun="network",
    collection="networks",
    service="networks",
    method="ListNetworks",
    request=network_pb2.ListNetworksRequest,
)
PORT = Kind(
    noun="port", collection="ports", service="networks", method="ListPorts", request=network_pb2.ListPortsRequest
)
VOLUME = Kind(
    noun="volume", collection="volumes", service="volumes", method="ListVolumes", request=volume_pb2.ListVolumesRequest
)


async def name_of(api: Api, kind: Kind, text: str) -> str:
    """The resource name of what somebody typed.

    :raise NotFound: nothing has that display name.
    :raise InvalidArgument: several have it; the message lists them.
    """
    written = as_written(kind.collection, text)
    if written is not None:
        return written
    request = kind.request(filter=f"display_name = {quoted(text)}")
    found = await entries(api, kind, request, _ENOUGH)
    if not found:
        raise not_found(kind, text, [entry.display_name for entry in await entries(api, kind, kind.request(), 1000)])
    return the_one(kind, text, found)


async def entries(api: Api, kind: Kind, request: Any, at_most: int) -> Sequence[Listed]:
    """The first entries of a kind."""
    answer = await api.every(getattr(getattr(api, kind.service), kind.method), request, at_most)
    listed: Sequence[Listed] = getattr(answer, kind.entries)
    return listed


def as_written(collection: str, text: str) -> str | None:
    """The name in a full name or a uid; None when it must be a display name."""
    if names.is_uuid(text.lower()):
        return f"{collection}/{text.lower()}"
    prefix, slash, rest = text.partition("/")
    if slash and prefix == collection and names.is_uuid(rest.lower()):
        return f"{collection}/{rest.lower()}"
    return None


def the_one(kind: Kind, text: str, found: Sequence[Listed]) -> str:
    """The only entry's name.

    :raise InvalidArgument: there are several.
    """
    if len(found) == 1:
        return found[0].name
    some = "more than" if len(found) >= _ENOUGH else "these"
    ids = "\n".join(f"  {entry.uid}" for entry in found)
    raise InvalidArgument(
        f"{some} {len(found)} {kind.collection} are called {text!r}; say which by its id:\n{ids}",
        reason="AMBIGUOUS_NAME",
        metadata={"kind": kind.noun, "name": text},
    )


def not_found(kind: Kind, text: str, known: Iterable[str]) -> NotFound:
    """The refusal of a name that nothing has, with the names that look like it."""
    close = difflib.get_close_matches(text, sorted(set(known)), n=3)
    meant = f"; did you mean {' or '.join(repr(name) for name in close)}?" if close else ""
    return NotFound(
        f"no {kind.noun} is called {text!r}{meant}",
        reason=f"{kind.noun.upper()}_NOT_FOUND",
        metadata={kind.noun: text},
        resource=Resource(kind.noun, text),
    )


def quoted(text: str) -> str:
    """A value as filters want it."""
    return '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'


def operation_name(text: str) -> str:
    """The name of an operation from its name or its uid.

    :raise InvalidArgument: it is neither.
    """
    written = as_written("operations", text)
    if written is None:
        raise InvalidArgument(f"{text!r} is not an operation; they look like operations/<uuid>", reason="INVALID_NAME")
    return written
