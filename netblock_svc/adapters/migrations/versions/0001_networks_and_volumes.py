"""Networks, ports, addresses, volumes and attachments."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from netblock_svc.adapters.tables import UtcDateTime

revision = "0001"
down_revision = None


def upgrade() -> None:
    _networks()
    _ports()
    _volumes()


def _networks() -> None:
    op.create_table(
        "networks",
        sa.Column("uid", sa.String(36), nullable=False),
        sa.Column("project", sa.String(255), nullable=False),
        sa.Column("display_name", sa.String(255), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("bridge", sa.String(15), nullable=False),
        sa.Column("libvirt_network", sa.String(255), nullable=False),
        sa.Column("mtu", sa.Integer, nullable=False),
        sa.Column("create_time", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("uid", name="pk_networks"),
        sa.UniqueConstraint("project", "display_name", name="uq_networks_project_display_name"),
    )
    op.create_index("ix_networks_create_time_uid", "networks", ["create_time", "uid"])
    op.create_table(
        "subnets",
        sa.Column("uid", sa.String(36), nullable=False),
        sa.Column("network", sa.String(36), nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("cidr", sa.String(49), nullable=False),
        sa.Column("gateway", sa.String(45), nullable=False),
        sa.Column("dns", sa.Text, nullable=False),
        sa.Column("first_address", sa.String(45), nullable=False),
        sa.Column("last_address", sa.String(45), nullable=False),
        sa.Column("next_slot", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("uid", name="pk_subnets"),
        sa.ForeignKeyConstraint(["network"], ["networks.uid"], name="fk_subnets_network", ondelete="CASCADE"),
        sa.UniqueConstraint("network", "position", name="uq_subnets_network_position"),
    )


def _ports() -> None:
    op.create_table(
        "ports",
        sa.Column("uid", sa.String(36), nullable=False),
        sa.Column("network", sa.String(36), nullable=False),
        sa.Column("project", sa.String(255), nullable=False),
        sa.Column("display_name", sa.String(255), nullable=False),
        sa.Column("mac_address", sa.String(17), nullable=False),
        sa.Column("instance", sa.String(36)),
        sa.Column("position", sa.Integer),
        sa.Column("made_for_instance", sa.Boolean, nullable=False),
        sa.Column("create_time", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("uid", name="pk_ports"),
        sa.ForeignKeyConstraint(["network"], ["networks.uid"], name="fk_ports_network"),
        sa.UniqueConstraint("mac_address", name="uq_ports_mac_address"),
        sa.UniqueConstraint("instance", "position", name="uq_ports_instance_position"),
    )
    op.create_index("ix_ports_network", "ports", ["network"])
    op.create_index("ix_ports_create_time_uid", "ports", ["create_time", "uid"])
    op.create_index("ix_ports_project_create_time_uid", "ports", ["project", "create_time", "uid"])
    op.create_table(
        "fixed_ips",
        sa.Column("subnet", sa.String(36), nullable=False),
        sa.Column("address", sa.String(45), nullable=False),
        sa.Column("slot", sa.BigInteger),
        sa.Column("port", sa.String(36), nullable=False),
        sa.PrimaryKeyConstraint("subnet", "address", name="pk_fixed_ips"),
        sa.ForeignKeyConstraint(["subnet"], ["subnets.uid"], name="fk_fixed_ips_subnet"),
        sa.ForeignKeyConstraint(["port"], ["ports.uid"], name="fk_fixed_ips_port", ondelete="CASCADE"),
        sa.UniqueConstraint("subnet", "slot", name="uq_fixed_ips_subnet_slot"),
    )
    op.create_index("ix_fixed_ips_port", "fixed_ips", ["port"])


def _volumes() -> None:
    op.create_table(
        "volumes",
        sa.Column("uid", sa.String(36), nullable=False),
        sa.Column("project", sa.String(255), nullable=False),
        sa.Column("display_name", sa.String(255), nullable=False),
        sa.Column("size_gib", sa.Integer, nullable=False),
        sa.Column("format", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("create_time", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("uid", name="pk_volumes"),
    )
    op.create_index("ix_volumes_create_time_uid", "volumes", ["create_time", "uid"])
    op.create_index("ix_volumes_project_create_time_uid", "volumes", ["project", "create_time", "uid"])
    op.create_table(
        "attachments",
        sa.Column("uid", sa.String(36), nullable=False),
        sa.Column("volume", sa.String(36), nullable=False),
        sa.Column("instance", sa.String(36), nullable=False),
        sa.Column("device", sa.String(16)),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("attach_time", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("uid", name="pk_attachments"),
        sa.ForeignKeyConstraint(["volume"], ["volumes.uid"], name="fk_attachments_volume"),
        sa.UniqueConstraint("volume", name="uq_attachments_volume"),
        sa.UniqueConstraint("instance", "device", name="uq_attachments_instance_device"),
        sa.UniqueConstraint("instance", "position", name="uq_attachments_instance_position"),
    )
