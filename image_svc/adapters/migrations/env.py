"""What alembic runs: see svckit.migrate."""

from image_svc.adapters.catalogue_sql import metadata
from svckit.migrate import run

run(metadata, lock=7_020_503)
