"""The tables as the code of this release uses them; ``migrations`` is how they come to be."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator


class Moment(TypeDecorator[datetime]):
    """A UTC-aware time, to the microsecond, also where the database knows no zones."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """*value* in UTC; without a zone where the database has none."""
        if value is None:
            return None
        moment = value.astimezone(UTC)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """What was stored, with its zone."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


Name = Text().with_variant(Text(collation="C"), "postgresql")
"""Text that is sorted by its characters in every database, whatever language it is set to."""

METADATA = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)

VERSIONS = Table(
    "versions",
    METADATA,
    Column("model", Name, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("digest", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("manifest", Text, nullable=False),
    Column("image_digest", Text, nullable=False),
    Column("image_size", BigInteger, nullable=False),
    UniqueConstraint("model", "digest"),
    CheckConstraint("number >= 1", name="counts_from_one"),
    CheckConstraint("model = lower(model)", name="lower_case"),
)

VERSION_SUMMARIES = Table(
    "version_summaries",
    METADATA,
    Column("model", Name, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("digest", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("format", Text, nullable=False),
    Column("commit_id", Text, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    ForeignKeyConstraint(["model", "number"], ["versions.model", "versions.number"]),
)
"""What a list shows of each version: made of its row, so that no manifest is read for it."""

SIGNATURES = Table(
    "signatures",
    METADATA,
    Column("model", Text, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("digest", Text, primary_key=True),
    Column("identity", Text, nullable=False),
    Column("public_key", Text, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("image_digest", Text, nullable=False),
    Column("image_size", BigInteger, nullable=False),
    ForeignKeyConstraint(["model", "number"], ["versions.model", "versions.number"]),
)

SEALS = Table(
    "seals",
    METADATA,
    Column("model", Name, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("path", Name, primary_key=True),
    Column("digest", Text, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("key", Text, nullable=False),
    Column("recipients", Text, nullable=False),
    ForeignKeyConstraint(["model", "number"], ["versions.model", "versions.number"]),
)
"""How the files of encrypted versions are sealed: all files of a version, or none."""

EVIDENCE = Table(
    "evidence",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("model", Name, nullable=False),
    Column("number", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("body", Text, nullable=False),
    ForeignKeyConstraint(["model", "number"], ["versions.model", "versions.number"]),
)

ENDPOINT_CHANGES = Table(
    "endpoint_changes",
    METADATA,
    Column("endpoint", Name, primary_key=True),
    Column("sequence", Integer, primary_key=True, autoincrement=False),
    Column("model", Name, nullable=False),
    Column("action", Text, nullable=False),
    Column("before", Integer),
    Column("live", Integer, nullable=False),
    Column("changed_at", Moment, nullable=False),
    Column("changed_by", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("evidence", Integer, ForeignKey("evidence.id")),
    Column("forced", Boolean, nullable=False),
    ForeignKeyConstraint(["model", "live"], ["versions.model", "versions.number"]),
    CheckConstraint("sequence >= 1", name="counts_from_one"),
    CheckConstraint("endpoint = lower(endpoint)", name="lower_case"),
)

VERSION_CHANGES = Table(
    "version_changes",
    METADATA,
    Column("model", Name, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("sequence", Integer, primary_key=True, autoincrement=False),
    Column("action", Text, nullable=False),
    Column("changed_at", Moment, nullable=False),
    Column("changed_by", Text, nullable=False),
    Column("reason", Text, nullable=False),
    ForeignKeyConstraint(["model", "number"], ["versions.model", "versions.number"]),
    CheckConstraint("sequence >= 1", name="counts_from_one"),
)
"""Odd sequences delete a version, even ones bring it back."""

UNNEEDED_BLOBS = Table(
    "unneeded_blobs",
    METADATA,
    Column("digest", Text, primary_key=True),
    Column("since", Moment, nullable=False),
)

KEYS = Table(
    "keys",
    METADATA,
    Column("id", Name, primary_key=True),
    Column("digest", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("scopes", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("expires_at", Moment, nullable=False),
    Column("revoked_at", Moment),
)

AUDIT_HEADS = Table(
    "audit_heads",
    METADATA,
    Column("chain", Text, primary_key=True),
    Column("seq", BigInteger, nullable=False),
    Column("digest", Text, nullable=False),
)

AUDIT_NOTED = Table(
    "audit_noted",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("noted", Text, nullable=False),
)

META = Table(
    "meta",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("value", BigInteger, nullable=False),
)

REVISION = "revision"
"""The row of ``meta`` that every change of an endpoint or a key raises by one."""
