"""Makes the rows of a table unchangeable, in the words of each database."""

from __future__ import annotations

from sqlalchemy import Connection

from shipway.registry.sql import postgres, sqlite

_REFUSALS = {"sqlite": sqlite.refuse_changes, "postgresql": postgres.refuse_changes}


def refuse_changes(connection: Connection, *tables: str) -> None:
    """Have the database itself refuse to change or remove a row of *tables*, whoever asks it."""
    refusals = _REFUSALS[connection.dialect.name]
    for table in tables:
        for statement in refusals(table):
            connection.exec_driver_sql(statement)
