"""The `protostar` command."""

from __future__ import annotations

import os
import signal

# gRPC's C code would speak to the user of its own troubles; it asks for this when it is loaded.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
# While all this is being loaded Ctrl-C ends the process without a word.
signal.signal(signal.SIGINT, signal.SIG_DFL)

from cli import command  # noqa: E402
from cli.app import app  # noqa: E402


def main() -> None:
    """Run it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    command.main(app)


if __name__ == "__main__":
    main()
