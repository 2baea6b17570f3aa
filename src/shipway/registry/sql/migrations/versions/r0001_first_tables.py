"""Versions, evidence, endpoint changes, keys, and the counter of changes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from shipway.registry.sql.append_only import refuse_changes

revision = "0001"
down_revision = None

_TIME = sa.DateTime(timezone=True)
_NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Create everything, and make what is history unchangeable."""
    op.create_table(
        "versions",
        sa.Column("model", _NAME, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("manifest", sa.Text, nullable=False),
        sa.Column("image_digest", sa.Text, nullable=False),
        sa.Column("image_size", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("model", "number", name="pk_versions"),
        sa.UniqueConstraint("model", "digest", name="uq_versions_model_digest"),
        sa.CheckConstraint("number >= 1", name="ck_versions_counts_from_one"),
        sa.CheckConstraint("model = lower(model)", name="ck_versions_lower_case"),
    )
    op.create_table(
        "evidence",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("model", _NAME, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("verdict", sa.Text, nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_evidence"),
        _of_version("number", "fk_evidence_model_number"),
    )
    op.create_index("ix_evidence_model_number", "evidence", ["model", "number"])
    op.create_table(
        "endpoint_changes",
        sa.Column("endpoint", _NAME, nullable=False),
        sa.Column("sequence", sa.Integer, nullable=False),
        sa.Column("model", _NAME, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("before", sa.Integer),
        sa.Column("live", sa.Integer, nullable=False),
        sa.Column("changed_at", _TIME, nullable=False),
        sa.Column("changed_by", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("evidence", sa.Integer),
        sa.Column("forced", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("endpoint", "sequence", name="pk_endpoint_changes"),
        sa.ForeignKeyConstraint(["evidence"], ["evidence.id"], name="fk_endpoint_changes_evidence"),
        _of_version("live", "fk_endpoint_changes_model_live"),
        sa.CheckConstraint("sequence >= 1", name="ck_endpoint_changes_counts_from_one"),
        sa.CheckConstraint("endpoint = lower(endpoint)", name="ck_endpoint_changes_lower_case"),
    )
    op.create_table(
        "keys",
        sa.Column("id", _NAME, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("scopes", sa.Text, nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("expires_at", _TIME, nullable=False),
        sa.Column("revoked_at", _TIME),
        sa.PrimaryKeyConstraint("id", name="pk_keys"),
    )
    meta = op.create_table(
        "meta",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("value", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_meta"),
    )
    op.bulk_insert(meta, [{"name": "revision", "value": 0}])
    refuse_changes(op.get_bind(), "versions", "evidence", "endpoint_changes")


def downgrade() -> None:
    """Refuse: a store goes forward only."""
    raise NotImplementedError("a store is migrated one way; restore a backup to go back")


def _of_version(number: str, name: str) -> sa.ForeignKeyConstraint:
    columns = ["versions.model", "versions.number"]
    return sa.ForeignKeyConstraint(["model", number], columns, name=name)
