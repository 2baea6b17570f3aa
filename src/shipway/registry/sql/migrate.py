"""Brings a database to the tables of this release, one way only, in one transaction.

Alembic takes a tenth of a second to import, and a store that is current needs none of it: it is
imported where it is used.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection

from shipway.registry.sql.database import Database
from shipway.registry.sql.schema import HEAD, newer_store, schema_of

if TYPE_CHECKING:
    from alembic.config import Config

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
        upgrade(connection, current, where)


def upgrade(connection: Connection, current: str | None, where: str, *, to: str = HEAD) -> None:
    """Bring the tables from schema *current* to *to*, within the transaction of *connection*.

    Raises :class:`~shipway.errors.StoreError` for a schema that this release does not know.
    """
    from alembic import command  # noqa: PLC0415
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    config = _config()
    script = ScriptDirectory.from_config(config)
    known = {revision.revision for revision in script.walk_revisions()}
    for schema in (current, to):
        if schema is not None and schema not in known:
            raise newer_store(where, schema)
    config.attributes["connection"] = connection
    command.upgrade(config, to)


def _config() -> Config:
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
