"""The `protostar` command."""

from __future__ import annotations

from cli import command
from cli.app import app


def main() -> None:
    """Run it."""
    command.main(app)


if __name__ == "__main__":
    main()
