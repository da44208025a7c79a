"""python -m compute_svc"""

from __future__ import annotations

from compute_svc.bootstrap import build
from compute_svc.config import ComputeSettings
from svckit.server import run


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    settings = ComputeSettings.read()
    run("compute_svc", settings.compute_address, settings, lambda lifecycle: build(lifecycle, settings))


if __name__ == "__main__":
    main()
