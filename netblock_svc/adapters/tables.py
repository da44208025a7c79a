"""The tables. The migrations make the same, and a test proves it."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.types import TypeDecorator

METADATA = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)
_UID = String(36)


class UtcDateTime(TypeDecorator[datetime]):
    """A moment, in UTC on both sides: SQLite drops zones."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        moment = value.astimezone(UTC)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


networks = Table(
    "networks",
    METADATA,
    Column("uid", _UID, primary_key=True),
    Column("project", String(255), nullable=False),  # "" for everybody's: NULLs would not be unique
    Column("display_name", String(255), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("bridge", String(15), nullable=False),
    Column("libvirt_network", String(255), nullable=False),
    Column("mtu", Integer, nullable=False),
    Column("create_time", UtcDateTime, nullable=False),
    UniqueConstraint("project", "display_name"),
    Index(None, "create_time", "uid"),
)

subnets = Table(
    "subnets",
    METADATA,
    Column("uid", _UID, primary_key=True),
    Column("network", _UID, ForeignKey("networks.uid", ondelete="CASCADE"), nullable=False),
    Column("position", Integer, nullable=False),
    Column("cidr", String(49), nullable=False),
    Column("gateway", String(45), nullable=False),
    Column("dns", Text, nullable=False),  # addresses, separated by blanks
    Column("first_address", String(45), nullable=False),
    Column("last_address", String(45), nullable=False),
    Column("next_slot", BigInteger, nullable=False),  # where the search for a free one begins
    UniqueConstraint("network", "position"),
)

ports = Table(
    "ports",
    METADATA,
    Column("uid", _UID, primary_key=True),
    Column("network", _UID, ForeignKey("networks.uid"), nullable=False, index=True),
    Column("project", String(255), nullable=False),
    Column("display_name", String(255), nullable=False),
    Column("mac_address", String(17), nullable=False, unique=True),
    Column("instance", _UID),
    Column("position", Integer),
    Column("made_for_instance", Boolean, nullable=False),
    Column("create_time", UtcDateTime, nullable=False),
    UniqueConstraint("instance", "position"),
    Index(None, "create_time", "uid"),
    Index(None, "project", "create_time", "uid"),
)

fixed_ips = Table(
    "fixed_ips",
    METADATA,
    Column("subnet", _UID, ForeignKey("subnets.uid"), primary_key=True),
    Column("address", String(45), primary_key=True),
    Column("slot", BigInteger),  # NULL past 2**62, where nothing is allocated unasked
    Column("port", _UID, ForeignKey("ports.uid", ondelete="CASCADE"), nullable=False, index=True),
    UniqueConstraint("subnet", "slot"),
)

volumes = Table(
    "volumes",
    METADATA,
    Column("uid", _UID, primary_key=True),
    Column("project", String(255), nullable=False),
    Column("display_name", String(255), nullable=False),
    Column("size_gib", Integer, nullable=False),
    Column("format", String(16), nullable=False),
    Column("state", String(16), nullable=False),
    Column("create_time", UtcDateTime, nullable=False),
    Index(None, "create_time", "uid"),
    Index(None, "project", "create_time", "uid"),
)

attachments = Table(
    "attachments",
    METADATA,
    Column("uid", _UID, primary_key=True),
    Column("volume", _UID, ForeignKey("volumes.uid"), nullable=False, unique=True),
    Column("instance", _UID, nullable=False),
    Column("device", String(16)),  # NULL where the compute host chooses: only chosen names are unique
    Column("position", Integer, nullable=False),
    Column("attach_time", UtcDateTime, nullable=False),
    UniqueConstraint("instance", "device"),
    UniqueConstraint("instance", "position"),
)

fences = Table(
    "fences",
    METADATA,
    Column("instance", _UID, primary_key=True),
    Column("generation", BigInteger, nullable=False),
    Column("update_time", UtcDateTime, nullable=False, index=True),
)
