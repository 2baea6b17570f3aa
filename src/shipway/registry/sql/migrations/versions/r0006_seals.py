"""The seals of versions: which file is encrypted as what, and its wrapped key."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

_NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Create the table. Keys are wrapped anew, so its rows may change."""
    op.create_table(
        "seals",
        sa.Column("model", _NAME, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("path", _NAME, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("recipients", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("model", "number", "path", name="pk_seals"),
        sa.ForeignKeyConstraint(
            ["model", "number"],
            ["versions.model", "versions.number"],
            name="fk_seals_model_number",
        ),
    )


def downgrade() -> None:
    """Refuse: a store goes forward only."""
    raise NotImplementedError("a store is migrated one way; restore a backup to go back")
