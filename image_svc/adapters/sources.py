"""Which adapter fetches which source."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

from image_svc.ports import Sources, SourceStream


class SourceByScheme:
    """`ports.Sources`: http(s) addresses to one, absolute paths to the other."""

    def __init__(self, *, files: Sources, http: Sources) -> None:
        self._files = files
        self._http = http

    def open(self, source: str) -> AbstractAsyncContextManager[SourceStream]:
        """See ports.Sources."""
        return (self._files if source.startswith("/") else self._http).open(source)
