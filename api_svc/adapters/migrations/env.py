"""What alembic runs: see svckit.migrate."""

from api_svc.adapters.schema import metadata
from svckit.migrate import run

run(metadata, lock=7_020_101)
