"""The counter that tells a reader, with one cheap question, whether anything was changed."""

from __future__ import annotations

from sqlalchemy import Connection, select, update

from shipway.registry.sql.tables import META, REVISION

_ROW = META.c.name == REVISION


def raise_revision(connection: Connection) -> None:
    """Count one more change, within the transaction that makes it."""
    connection.execute(update(META).where(_ROW).values(value=META.c.value + 1))


def read_revision(connection: Connection) -> int:
    """How many changes there were."""
    return int(connection.execute(select(META.c.value).where(_ROW)).scalar_one())
