"""Brings a database to the tables of this release, one way only, in one transaction."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from shipway.errors import StoreError
from shipway.registry.sql.database import Database

HEAD = "0001"
"""The newest migration, so that opening a current store need not read them all."""

_FOLDER = Path(__file__).with_name("migrations")


def migrate(database: Database, *, where: str) -> None:
    """Make *database* current; *where* is how errors call it.

    Of many processes that come at once, one migrates while the others wait and find it done.
    Raises :class:`~shipway.errors.StoreError`, having changed nothing, when a newer release
    wrote it.
    """
    with database.reading() as connection:
        if schema_of(connection) == HEAD:
            return
    with database.writing() as connection:
        current = schema_of(connection)
        if current == HEAD:
            return
        config = _config()
        script = ScriptDirectory.from_config(config)
        known = {revision.revision for revision in script.walk_revisions()}
        if current is not None and current not in known:
            raise newer_store(where, current)
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def newer_store(where: str, schema: str) -> StoreError:
    """The error for a store of *schema*, which this release does not know."""
    return StoreError(
        f"{where} was written by a newer release of Shipway "
        f"(schema {schema}; this one knows up to {HEAD})",
        next_step="upgrade with `pip install --upgrade shipway`, "
        "or set SHIPWAY_HOME to a store of this release",
    )


def schema_of(connection: Connection) -> str | None:
    """The newest migration that the database has had; None if it is empty."""
    return MigrationContext.configure(connection).get_current_revision()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
