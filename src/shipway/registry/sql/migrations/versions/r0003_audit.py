"""The ends of audit logs, and what waits to be told to one."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "audit_heads",
        sa.Column("chain", sa.Text, nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("chain", name="pk_audit_heads"),
    )
    op.create_table(
        "audit_noted",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("noted", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit_noted"),
    )


def downgrade() -> None:
    """Refuse: a store goes forward only."""
    raise NotImplementedError("a store is migrated one way; restore a backup to go back")
