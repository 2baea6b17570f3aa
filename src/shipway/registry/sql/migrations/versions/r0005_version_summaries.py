"""What a list shows of each version, in rows that are read by the ten thousand."""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa
from alembic import op

from shipway.registry.sql.append_only import refuse_changes

revision = "0005"
down_revision = "0004"

_TIME = sa.DateTime(timezone=True)
_NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_BATCH = 500


def upgrade() -> None:
    """Create the table and fill it from the manifests; it follows the versions, unchangeable."""
    summaries = op.create_table(
        "version_summaries",
        sa.Column("model", _NAME, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("format", sa.Text, nullable=False),
        sa.Column("commit_id", sa.Text, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("model", "number", name="pk_version_summaries"),
        sa.ForeignKeyConstraint(
            ["model", "number"],
            ["versions.model", "versions.number"],
            name="fk_version_summaries_model_number",
        ),
    )
    connection = op.get_bind()
    kept = ("model", "number", "digest", "created_at", "created_by")
    columns = [sa.column(name, _TIME if name == "created_at" else None) for name in kept]
    query = sa.select(*columns, sa.column("manifest")).select_from(sa.table("versions"))
    rows = connection.execute(query).mappings().all()
    for start in range(0, len(rows), _BATCH):
        some = [
            {**{name: row[name] for name in kept}, **_told(row["manifest"])}
            for row in rows[start : start + _BATCH]
        ]
        connection.execute(sa.insert(summaries), some)
    refuse_changes(connection, "version_summaries")


def downgrade() -> None:
    """Refuse: a store goes forward only."""
    raise NotImplementedError("a store is migrated one way; restore a backup to go back")


def _told(manifest: str) -> dict[str, Any]:
    read = json.loads(manifest)
    code = read.get("lineage", {}).get("code") or {}
    return {
        "format": read.get("spec", {}).get("format", ""),
        "commit_id": code.get("commit", ""),
        "size_bytes": sum(each["size_bytes"] for each in read.get("files", [])),
    }
