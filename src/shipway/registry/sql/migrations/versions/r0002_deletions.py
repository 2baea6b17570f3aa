"""Deleted versions, and the blobs that nothing needs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from shipway.registry.sql.append_only import refuse_changes

revision = "0002"
down_revision = "0001"

_TIME = sa.DateTime(timezone=True)
_NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Create both tables; what was deleted, by whom and why is history."""
    op.create_table(
        "version_changes",
        sa.Column("model", _NAME, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("sequence", sa.Integer, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("changed_at", _TIME, nullable=False),
        sa.Column("changed_by", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("model", "number", "sequence", name="pk_version_changes"),
        sa.ForeignKeyConstraint(
            ["model", "number"],
            ["versions.model", "versions.number"],
            name="fk_version_changes_model_number",
        ),
        sa.CheckConstraint("sequence >= 1", name="ck_version_changes_counts_from_one"),
    )
    op.create_table(
        "unneeded_blobs",
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("since", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_unneeded_blobs"),
    )
    refuse_changes(op.get_bind(), "version_changes")


def downgrade() -> None:
    """Refuse: a store goes forward only."""
    raise NotImplementedError("a store is migrated one way; restore a backup to go back")
