"""Who signed which version."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from shipway.registry.sql.append_only import refuse_changes

revision = "0004"
down_revision = "0003"

_NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Create the table, and make what is history unchangeable."""
    op.create_table(
        "signatures",
        sa.Column("model", _NAME, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("identity", sa.Text, nullable=False),
        sa.Column("public_key", sa.Text, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("image_digest", sa.Text, nullable=False),
        sa.Column("image_size", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("model", "number", "digest", name="pk_signatures"),
        sa.ForeignKeyConstraint(
            ["model", "number"],
            ["versions.model", "versions.number"],
            name="fk_signatures_model_number",
        ),
    )
    refuse_changes(op.get_bind(), "signatures")


def downgrade() -> None:
    """Refuse: a store goes forward only."""
    raise NotImplementedError("a store is migrated one way; restore a backup to go back")
