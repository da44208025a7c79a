"""Where things are when nobody says otherwise. Imports next to nothing: the command line needs it at every start."""

from __future__ import annotations

import os
from pathlib import Path

API_ADDRESS = "127.0.0.1:50051"
COMPUTE_ADDRESS = "127.0.0.1:50052"
IMAGE_ADDRESS = "127.0.0.1:50053"
NETBLOCK_ADDRESS = "127.0.0.1:50054"


def data_dir() -> Path:
    """/var/lib/protostar for root, ~/.local/share/protostar for everybody else."""
    return Path("/var/lib/protostar") if os.geteuid() == 0 else Path.home() / ".local/share/protostar"
