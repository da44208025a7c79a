"""Images from http and https.

The address is the caller's choice, so this service can be made to ask whatever it can reach (SSRF). Redirects are few,
only 200 counts, and what comes back is told to nobody unless it is an image; docs/images.md says how to confine it
further.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from image_svc.domain.refusals import source_unreadable

if TYPE_CHECKING:
    import httpx

_CHUNK = 1024**2


@dataclass(frozen=True, kw_only=True)
class HttpLimits:
    """How patient a download is, in seconds, and how often it follows."""

    connect: float
    read: float
    total: float
    redirects: int


class Download:
    """`ports.SourceStream` of a response."""

    def __init__(self, response: httpx.Response, source: str) -> None:
        self._response = response
        self._source = source
        length = response.headers.get("content-length", "")
        self.total_bytes = int(length) if length.isdigit() else 0

    async def chunks(self) -> AsyncIterator[bytes]:
        """See ports.SourceStream. A body that ends early is an error: the length was announced."""
        with _http_errors(self._source):
            async for chunk in self._response.aiter_raw(_CHUNK):
                yield chunk


class HttpSource:
    """`ports.Sources` for http and https."""

    def __init__(self, limits: HttpLimits) -> None:
        self._limits = limits

    @contextlib.asynccontextmanager
    async def open(self, source: str) -> AsyncIterator[Download]:
        """See ports.Sources."""
        # Imported here: most of a service's life has no download in it.
        import httpx

        limits = self._limits
        client = httpx.AsyncClient(
            follow_redirects=True,
            max_redirects=limits.redirects,
            timeout=httpx.Timeout(limits.read, connect=limits.connect),
            headers={"accept-encoding": "identity", "user-agent": "protostar"},
        )
        with _http_errors(source):
            async with asyncio.timeout(limits.total), client, client.stream("GET", source) as response:
                _check(response, source)
                yield Download(response, source)


def _check(response: httpx.Response, source: str) -> None:
    if response.status_code != 200:
        raise source_unreadable(source, f"the server answers {response.status_code} {response.reason_phrase}")
    if "content-encoding" in response.headers:
        raise source_unreadable(source, "the server sends it encoded, though it was asked not to")


@contextlib.contextmanager
def _http_errors(source: str) -> Iterator[None]:
    import httpx

    try:
        yield
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise source_unreadable(source, str(error) or type(error).__name__) from error
    except TimeoutError as error:
        raise source_unreadable(source, "it did not come within PROTOSTAR_IMAGE_FETCH_SECONDS") from error
