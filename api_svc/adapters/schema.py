"""The tables. Migrations make them (`migrations/`); a test proves that both say the same."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from api_svc.adapters.records import Document, Snapshot, UtcDateTime
from api_svc.domain.failure import Failure
from api_svc.domain.host import Facts
from api_svc.domain.instance import Fault, Policy, Port, Spec, Volume
from api_svc.domain.operation import Parameters, Progress, Result, Step

metadata = MetaData()
_UID = String(36)
_WORD = String(32)
# SQLite gives rising numbers only to INTEGER; PostgreSQL's would be too short.
_SEQUENCE = BigInteger().with_variant(Integer(), "sqlite")

instances = Table(
    "instances",
    metadata,
    Column("uid", _UID, primary_key=True),
    Column("display_name", String(255), nullable=False),
    Column("project", String(64), nullable=False),
    Column("user", String(64), nullable=False),
    Column("host", String(255), nullable=False),
    Column("vm_state", _WORD, nullable=False),
    Column("task_state", _WORD, nullable=False),
    Column("power_state", _WORD, nullable=False),
    Column("power_state_observed_at", UtcDateTime),
    Column("image", _UID, nullable=False),
    Column("vcpus", Integer, nullable=False),
    Column("memory_mib", Integer, nullable=False),
    Column("spec", Document(Spec), nullable=False),
    Column("ports", Document(tuple[Port, ...]), nullable=False),
    Column("volumes", Document(tuple[Volume, ...]), nullable=False),
    Column("user_data", LargeBinary, nullable=False),
    Column("metadata", JSON, nullable=False),
    Column("policy", Document(Policy), nullable=False),
    Column("locked_by", _WORD, nullable=False),
    Column("lock_reason", String(255), nullable=False),
    Column("current_operation", _UID, nullable=False),
    Column("fault", Document(Fault)),
    Column("generation", BigInteger, nullable=False),
    Column("applied_generation", BigInteger, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("create_time", UtcDateTime, nullable=False),
    Column("update_time", UtcDateTime, nullable=False),
    Column("launch_time", UtcDateTime),
    Index("instances_by_age", "create_time", "uid"),
    Index("instances_by_project", "project", "create_time", "uid"),
    Index("instances_by_host", "host"),
)

_OPEN = text("state IN ('QUEUED', 'RUNNING')")
operations = Table(
    "operations",
    metadata,
    Column("uid", _UID, primary_key=True),
    Column("verb", _WORD, nullable=False),
    Column("target", String(64), nullable=False),
    Column("project", String(64), nullable=False),
    Column("actor", String(80), nullable=False),
    Column("host", String(255), nullable=False),
    Column("task", _WORD, nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("state", _WORD, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("steps", Document(tuple[Step, ...]), nullable=False),
    Column("progress", Document(Progress)),
    Column("parameters", Document(Parameters), nullable=False),
    Column("waiting_for", _WORD, nullable=False),
    Column("trace", Document(Mapping[str, str]), nullable=False),
    Column("create_time", UtcDateTime, nullable=False),
    Column("start_time", UtcDateTime),
    Column("end_time", UtcDateTime),
    Column("deadline", UtcDateTime, nullable=False),
    Column("not_before", UtcDateTime, nullable=False),
    Column("no_op", Boolean, nullable=False),
    Column("cancel_requested", Boolean, nullable=False),
    Column("error", Document(Failure)),
    Column("result", Document(Result)),
    Column("instance", Snapshot),
    Column("request_scope", String(64)),
    Column("request_id", _UID),
    Column("request_digest", String(64)),
    Column("lease_owner", String(255)),
    Column("lease_until", UtcDateTime),
    # Both NULL for a request without an id, and NULLs never meet.
    UniqueConstraint("request_scope", "request_id", name="operations_request"),
    Index("operations_by_age", "create_time", "uid"),
    Index("operations_by_target", "target", "create_time"),
    Index("operations_open", "not_before", sqlite_where=_OPEN, postgresql_where=_OPEN),
)

events = Table(
    "events",
    metadata,
    Column("seq", _SEQUENCE, primary_key=True, autoincrement=True),
    Column("type", String(64), nullable=False),
    Column("time", UtcDateTime, nullable=False),
    Column("instance_uid", _UID, nullable=False),
    Column("project", String(64), nullable=False),
    Column("instance", Snapshot, nullable=False),
    Column("operation", String(64), nullable=False),
    Column("error", Document(Failure)),
    Column("trace_id", _WORD, nullable=False),
    # A place in the stream is never given twice, not even after the newest rows were pruned.
    sqlite_autoincrement=True,
)

hosts = Table(
    "hosts",
    metadata,
    Column("name", String(255), primary_key=True),
    Column("address", Text, nullable=False),
    Column("state", _WORD, nullable=False),
    Column("last_seen", UtcDateTime, nullable=False),
    Column("facts", Document(Facts), nullable=False),
)
