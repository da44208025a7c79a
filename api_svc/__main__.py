"""`python -m api_svc`."""

from __future__ import annotations

from functools import partial

from api_svc.bootstrap import build
from api_svc.config import ApiSettings
from svckit import server

if __name__ == "__main__":
    settings = ApiSettings.read()
    server.run("api_svc", settings.api_address, settings, partial(build, settings))
