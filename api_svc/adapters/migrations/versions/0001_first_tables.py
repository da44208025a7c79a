"""Instances, operations, events, hosts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_TIME = sa.DateTime(timezone=True)
_OPEN = sa.text("state IN ('QUEUED', 'RUNNING')")


def upgrade() -> None:
    _instances()
    _operations()
    _events()
    op.create_table(
        "hosts",
        sa.Column("name", sa.String(255), primary_key=True),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("last_seen", _TIME, nullable=False),
        sa.Column("facts", sa.Text, nullable=False),
    )


def _instances() -> None:
    op.create_table(
        "instances",
        sa.Column("uid", sa.String(36), primary_key=True),
        sa.Column("display_name", sa.String(255), nullable=False),
        sa.Column("project", sa.String(64), nullable=False),
        sa.Column("user", sa.String(64), nullable=False),
        sa.Column("host", sa.String(255), nullable=False),
        sa.Column("vm_state", sa.String(32), nullable=False),
        sa.Column("task_state", sa.String(32), nullable=False),
        sa.Column("power_state", sa.String(32), nullable=False),
        sa.Column("power_state_observed_at", _TIME),
        sa.Column("image", sa.String(36), nullable=False),
        sa.Column("vcpus", sa.Integer, nullable=False),
        sa.Column("memory_mib", sa.Integer, nullable=False),
        sa.Column("spec", sa.Text, nullable=False),
        sa.Column("ports", sa.Text, nullable=False),
        sa.Column("volumes", sa.Text, nullable=False),
        sa.Column("user_data", sa.LargeBinary, nullable=False),
        sa.Column("metadata", sa.JSON, nullable=False),
        sa.Column("policy", sa.Text, nullable=False),
        sa.Column("locked_by", sa.String(32), nullable=False),
        sa.Column("lock_reason", sa.String(255), nullable=False),
        sa.Column("current_operation", sa.String(36), nullable=False),
        sa.Column("fault", sa.Text),
        sa.Column("generation", sa.BigInteger, nullable=False),
        sa.Column("applied_generation", sa.BigInteger, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("create_time", _TIME, nullable=False),
        sa.Column("update_time", _TIME, nullable=False),
        sa.Column("launch_time", _TIME),
    )
    op.create_index("instances_by_age", "instances", ["create_time", "uid"])
    op.create_index("instances_by_project", "instances", ["project", "create_time", "uid"])
    op.create_index("instances_by_host", "instances", ["host"])


def _operations() -> None:
    op.create_table(
        "operations",
        sa.Column("uid", sa.String(36), primary_key=True),
        sa.Column("verb", sa.String(32), nullable=False),
        sa.Column("target", sa.String(64), nullable=False),
        sa.Column("project", sa.String(64), nullable=False),
        sa.Column("actor", sa.String(80), nullable=False),
        sa.Column("host", sa.String(255), nullable=False),
        sa.Column("task", sa.String(32), nullable=False),
        sa.Column("generation", sa.BigInteger, nullable=False),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("steps", sa.Text, nullable=False),
        sa.Column("progress", sa.Text),
        sa.Column("parameters", sa.Text, nullable=False),
        sa.Column("waiting_for", sa.String(32), nullable=False),
        sa.Column("trace", sa.Text, nullable=False),
        sa.Column("create_time", _TIME, nullable=False),
        sa.Column("start_time", _TIME),
        sa.Column("end_time", _TIME),
        sa.Column("deadline", _TIME, nullable=False),
        sa.Column("not_before", _TIME, nullable=False),
        sa.Column("no_op", sa.Boolean, nullable=False),
        sa.Column("cancel_requested", sa.Boolean, nullable=False),
        sa.Column("error", sa.Text),
        sa.Column("result", sa.Text),
        sa.Column("instance", sa.Text),
        sa.Column("request_scope", sa.String(64)),
        sa.Column("request_id", sa.String(36)),
        sa.Column("request_digest", sa.String(64)),
        sa.Column("lease_owner", sa.String(255)),
        sa.Column("lease_until", _TIME),
        sa.UniqueConstraint("request_scope", "request_id", name="operations_request"),
    )
    op.create_index("operations_by_age", "operations", ["create_time", "uid"])
    op.create_index("operations_by_target", "operations", ["target", "create_time"])
    op.create_index("operations_open", "operations", ["not_before"], sqlite_where=_OPEN, postgresql_where=_OPEN)


def _events() -> None:
    op.create_table(
        "events",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("type", sa.String(64), nullable=False),
        sa.Column("time", _TIME, nullable=False),
        sa.Column("instance_uid", sa.String(36), nullable=False),
        sa.Column("project", sa.String(64), nullable=False),
        sa.Column("instance", sa.Text, nullable=False),
        sa.Column("operation", sa.String(64), nullable=False),
        sa.Column("error", sa.Text),
        sa.Column("trace_id", sa.String(32), nullable=False),
        sqlite_autoincrement=True,
    )
