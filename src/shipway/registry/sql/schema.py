"""Which tables a database has, asked without the library that makes them."""

from __future__ import annotations

from sqlalchemy import Connection, inspect

from shipway.errors import StoreError

HEAD = "0006"
"""The newest migration, so that opening a current store need not read them all."""

_VERSIONS = "alembic_version"


def schema_of(connection: Connection) -> str | None:
    """The newest migration that the database has had; None if it is empty."""
    if not inspect(connection).has_table(_VERSIONS):
        return None
    found = connection.exec_driver_sql(f"SELECT version_num FROM {_VERSIONS}").scalar()  # noqa: S608
    return None if found is None else str(found)


def newer_store(where: str, schema: str) -> StoreError:
    """The error for a store of *schema*, which this release does not know."""
    return StoreError(
        f"{where} was written by a newer release of Shipway "
        f"(schema {schema}; this one knows up to {HEAD})",
        next_step="upgrade with `pip install --upgrade shipway`, "
        "or set SHIPWAY_HOME to a store of this release",
    )
