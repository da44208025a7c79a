"""Where images come from: a path here, and an http server."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from image_svc.adapters.fetch_file import FileSource
from image_svc.adapters.fetch_http import HttpLimits, HttpSource
from image_svc.ports import Sources
from svckit.errors import FailedPrecondition
from tests.contract.image_svc.image_server import ImageServer

LIMITS = HttpLimits(connect=2, read=1, total=5, redirects=2)
CONTENT = os.urandom(5 * 1024**2 + 1)


@pytest.fixture
def server() -> ImageServer:
    with ImageServer() as running:
        yield running


@pytest.fixture(params=["file", "http"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Sources, Callable[[str, bytes], str]]:
    """A kind of source, and how to have content there."""
    if request.param == "file":

        def put_file(name: str, content: bytes) -> str:
            (tmp_path / name).write_bytes(content)
            return str(tmp_path / name)

        return FileSource([Path("/")]), put_file
    server: ImageServer = request.getfixturevalue("server")
    return HttpSource(LIMITS), server.put


async def read(sources: Sources, source: str) -> tuple[int, bytes]:
    async with sources.open(source) as stream:
        return stream.total_bytes, b"".join([chunk async for chunk in stream.chunks()])


async def refusal_of(sources: Sources, source: str) -> FailedPrecondition:
    with pytest.raises(FailedPrecondition) as refusal:
        await read(sources, source)
    assert refusal.value.reason == "IMAGE_SOURCE_UNREADABLE"
    assert source in refusal.value.message
    return refusal.value


@pytest.mark.parametrize("content", [CONTENT, b""], ids=["5 MiB", "empty"])
async def test_content_comes_as_it_is_with_its_size(place: tuple[Sources, Callable[..., str]], content: bytes) -> None:
    sources, put = place
    assert await read(sources, put("x", content)) == (len(content), content)


async def test_what_is_not_there_is_unreadable(place: tuple[Sources, Callable[..., str]]) -> None:
    sources, put = place
    await refusal_of(sources, put("x", b"") + "-not")


async def test_what_is_not_a_file_is_unreadable(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "ring").symlink_to(tmp_path / "ring")
    sources = FileSource([Path("/")])
    for name in ("pipe", "ring", "", "pipe/x"):
        await refusal_of(sources, str(tmp_path / name))
    await refusal_of(sources, "/dev/zero")


async def test_only_folders_that_are_allowed(tmp_path: Path) -> None:
    (tmp_path / "allowed").mkdir()
    (tmp_path / "secret").write_bytes(b"x")
    (tmp_path / "allowed/link").symlink_to(tmp_path / "secret")
    sources = FileSource([tmp_path / "allowed"])
    for source in (tmp_path / "secret", tmp_path / "allowed/../secret", tmp_path / "allowed/link"):
        assert "PROTOSTAR_IMAGE_SOURCE_ROOTS" in (await refusal_of(sources, str(source))).message
    (tmp_path / "allowed/x").write_bytes(b"x")
    assert await read(sources, str(tmp_path / "allowed/x")) == (1, b"x")


async def test_a_file_that_shrinks_while_it_is_read(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(CONTENT)
    with pytest.raises(FailedPrecondition, match="changed"):
        async with FileSource([Path("/")]).open(str(tmp_path / "x")) as stream:
            async for _ in stream.chunks():
                os.truncate(tmp_path / "x", 10)


async def test_redirects_are_followed_but_not_for_ever(server: ImageServer) -> None:
    server.put("x", CONTENT)
    sources = HttpSource(LIMITS)
    assert (await read(sources, server.address("redirect/2/x")))[1] == CONTENT
    assert "redirect" in (await refusal_of(sources, server.address("redirect/3/x"))).message.lower()


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("status/404", "404"),
        ("status/500", "500"),
        ("status/206", "206"),
        ("short", "peer closed"),
        ("gzip", "encoded"),
        ("silent", "Timeout"),
        ("to-file", "protocol"),
    ],
)
async def test_what_a_server_may_do_wrong(server: ImageServer, path: str, words: str) -> None:
    assert words in (await refusal_of(HttpSource(LIMITS), server.address(path))).message


async def test_a_download_has_an_end(server: ImageServer) -> None:
    limits = HttpLimits(connect=2, read=2, total=0.5, redirects=0)
    assert "FETCH_SECONDS" in (await refusal_of(HttpSource(limits), server.address("drip"))).message


async def test_nobody_there() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    await refusal_of(HttpSource(LIMITS), f"http://127.0.0.1:{port}/x")
    await refusal_of(HttpSource(LIMITS), "http://name.invalid/x")
    await refusal_of(HttpSource(LIMITS), "http://[not-an-address/x")
