"""The `protostar` command."""

from __future__ import annotations

import os

# gRPC's C code would speak to the user of its own troubles; it asks for this when it is loaded.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

from cli import command
from cli.app import app


def main() -> None:
    """Run it."""
    command.main(app)


if __name__ == "__main__":
    main()
