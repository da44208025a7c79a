"""How a command ends that has said already what went wrong."""

from __future__ import annotations


class CommandFailed(Exception):
    """The command failed, and the user knows why; nothing is left to print. Exit code 1."""
