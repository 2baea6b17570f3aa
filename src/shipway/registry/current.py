"""Opens a store that is of this release already, as the processes of a server do.

They start often and in a hurry, after ``serve`` has brought the store up to date, and need not
load what makes and changes tables.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from shipway.errors import StoreError
from shipway.registry.cache import VersionCache
from shipway.registry.local_blobs import LocalBlobs
from shipway.registry.registry import Registry
from shipway.registry.sql.schema import HEAD, schema_of
from shipway.registry.sql.sqlite import SqliteDatabase
from shipway.registry.sql.store import SqlMetadata
from shipway.security.trust import DEFAULT_TRUST, TrustPolicy

METADATA_FILE = "metadata.sqlite3"
BLOBS_FOLDER = "blobs"
CACHE_FOLDER = "cache"


def open_current(home: Path, *, trust: TrustPolicy | None = None) -> Registry:
    """The registry in the store folder *home*; close it after use, it is a context manager.

    *trust* says who must have signed what is opened. Raises
    :class:`~shipway.errors.StoreError` if the store cannot be opened or is of another
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
        registry = registry_on(database, home, trust)
        opened.pop_all()
    return registry


def registry_on(database: SqliteDatabase, home: Path, trust: TrustPolicy | None = None) -> Registry:
    """The registry of the store folder *home* over its *database*, which it will close."""
    blobs = LocalBlobs(home / BLOBS_FOLDER)
    cache = VersionCache(home / CACHE_FOLDER, blobs)
    return Registry(SqlMetadata(database), blobs, cache, trust or DEFAULT_TRUST)


def _not_current(home: Path, schema: str | None) -> StoreError:
    return StoreError(
        f"the store in {home} is of schema {schema or 'none'} and not of {HEAD}",
        next_step="any command that uses the store brings it up: run `shipway versions`",
    )
