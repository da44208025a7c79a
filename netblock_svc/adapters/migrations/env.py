"""What alembic runs: see svckit.migrate."""

from netblock_svc.adapters.tables import METADATA
from svckit.migrate import run

run(METADATA, lock=7_020_501)
