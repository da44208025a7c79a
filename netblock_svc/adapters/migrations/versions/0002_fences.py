"""The newest command of each instance that was obeyed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from netblock_svc.adapters.tables import UtcDateTime

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "fences",
        sa.Column("instance", sa.String(36), nullable=False),
        sa.Column("generation", sa.BigInteger, nullable=False),
        sa.Column("update_time", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("instance", name="pk_fences"),
    )
    op.create_index("ix_fences_update_time", "fences", ["update_time"])
