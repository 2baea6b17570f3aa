"""Opens a store that is of this release already, as the processes of a server do.

They start often and in a hurry, after ``serve`` has brought the store up to date, and need not
load what makes and changes tables.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from shipway.errors import StoreError
from shipway.registry.audited import AuditedMetadata
from shipway.registry.cache import VersionCache
from shipway.registry.local_blobs import LocalBlobs
from shipway.registry.registry import Registry
from shipway.registry.sql.schema import HEAD, schema_of
from shipway.registry.sql.sqlite import SqliteDatabase
from shipway.registry.sql.store import SqlMetadata
from shipway.registry.trail import NoTrail, Trail

METADATA_FILE = "metadata.sqlite3"
BLOBS_FOLDER = "blobs"
CACHE_FOLDER = "cache"
AUDIT_FOLDER = "audit"


def open_current(home: Path) -> Registry:
    """The registry in the store folder *home*; close it after use, it is a context manager.

    Raises :class:`~shipway.errors.StoreError` if the store cannot be opened or is of another
    release; :func:`~shipway.registry.opening.open_registry` brings up an older one.
    """
    home = home.absolute()
    if not (home / METADATA_FILE).is_file():  # opening would make one
        raise _not_current(home, None)
    with ExitStack() as opened:
        database = SqliteDatabase(home / METADATA_FILE)
        opened.callback(database.close)
        with database.reading() as connection:
            schema = schema_of(connection)
        if schema != HEAD:
            raise _not_current(home, schema)
        registry = registry_on(database, home)
        opened.pop_all()
    return registry


def registry_on(database: SqliteDatabase, home: Path, *, audited: bool = True) -> Registry:
    """The registry of the store folder *home* over its *database*, which it will close.

    What is changed through it is told to the audit log of the folder, if *audited*.
    """
    blobs = LocalBlobs(home / BLOBS_FOLDER)
    cache = VersionCache(home / CACHE_FOLDER, blobs)
    records = SqlMetadata(database)
    trail = Trail(home / AUDIT_FOLDER, records.audit) if audited else NoTrail()
    return Registry(AuditedMetadata(records, trail), blobs, cache, trail)


def _not_current(home: Path, schema: str | None) -> StoreError:
    return StoreError(
        f"the store in {home} is of schema {schema or 'none'} and not of {HEAD}",
        next_step="any command that uses the store brings it up: run `shipway versions`",
    )
