"""A small http server for images, which can also be asked to misbehave."""

from __future__ import annotations

import contextlib
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class _Handler(BaseHTTPRequestHandler):
    server: Any
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        kind, _, rest = self.path.lstrip("/").partition("/")
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            getattr(self, f"_{kind.replace('-', '_')}", self._missing)(rest)

    def _images(self, name: str) -> None:
        content = self.server.images.get(name)
        if content is None:
            self._missing(name)
        else:
            self._head(200, len(content))
            self.wfile.write(content)

    def _redirect(self, rest: str) -> None:
        left, _, name = rest.partition("/")
        target = f"/images/{name}" if left == "1" else f"/redirect/{int(left) - 1}/{name}"
        self._head(302, 0, location=target)

    def _to_file(self, _rest: str) -> None:
        self._head(302, 0, location="file:///etc/passwd")

    def _status(self, code: str) -> None:
        self._head(int(code), 0)

    def _missing(self, _rest: str) -> None:
        self._head(404, 0)

    def _short(self, _rest: str) -> None:
        self._head(200, 1000)
        self.wfile.write(b"x" * 10)
        self.close_connection = True

    def _gzip(self, _rest: str) -> None:
        self._head(200, 1, content_encoding="gzip")
        self.wfile.write(b"x")

    def _silent(self, _rest: str) -> None:
        self.server.ended.wait(10)
        self.close_connection = True

    def _drip(self, _rest: str) -> None:
        """A good beginning of an image, and then a little more now and then, without end."""
        self._head(200, 10**9)
        self.wfile.write(bytes(2 * 1024**2))
        while not self.server.ended.is_set():
            self.wfile.write(b"x")
            time.sleep(0.05)

    def _head(self, code: int, length: int, **headers: str) -> None:
        self.send_response(code)
        self.send_header("content-length", str(length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


class ImageServer:
    """Serves on a free port for as long as the context lasts."""

    def __enter__(self) -> ImageServer:
        self._server: Any = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.images = {}
        self._server.ended = threading.Event()
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.ended.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def put(self, name: str, content: bytes) -> str:
        """Have content there; its address."""
        self._server.images[name] = content
        return self.address(f"images/{name}")

    def address(self, path: str) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/{path}"
