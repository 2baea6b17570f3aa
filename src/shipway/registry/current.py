"""Opens a store that is of this release already, as the processes of a server do.

They start often and in a hurry, after ``serve`` has brought the store up to date, and need not
load what makes and changes tables. They start as well while a database elsewhere is away: it is
asked for its schema when it first answers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from sqlalchemy import Connection

from shipway.errors import StoreError
from shipway.registry.addresses import IN_FOLDER, Addresses
from shipway.registry.audited import AuditedMetadata
from shipway.registry.cache import VersionCache
from shipway.registry.copies import CachedVersions
from shipway.registry.local_blobs import LocalBlobs
from shipway.registry.object_blobs import ObjectBlobs
from shipway.registry.registry import Registry
from shipway.registry.sql.database import Database
from shipway.registry.sql.postgres import PostgresDatabase
from shipway.registry.sql.schema import HEAD, schema_of
from shipway.registry.sql.sqlite import SqliteDatabase
from shipway.registry.sql.store import SqlMetadata
from shipway.registry.trail import NoTrail, Trail
from shipway.security.sealing import NO_KEYRING, Keyring
from shipway.security.trust import DEFAULT_TRUST, TrustPolicy

METADATA_FILE = "metadata.sqlite3"
BLOBS_FOLDER = "blobs"
CACHE_FOLDER = "cache"
AUDIT_FOLDER = "audit"


def open_current(
    home: Path,
    addresses: Addresses = IN_FOLDER,
    *,
    trust: TrustPolicy | None = None,
    keyring: Keyring = NO_KEYRING,
) -> Registry:
    """The registry in the store folder *home*; close it after use, it is a context manager.

    *trust* says who must have signed what is opened, and *keyring* opens what is encrypted. Raises
    :class:`~shipway.errors.StoreError` if the store cannot be opened or is of another
    release; :func:`~shipway.registry.opening.open_registry` brings up an older one. One whose
    records are at an address is not asked before its first use, and raises then.
    """
    home = home.absolute()
    where = addresses.told.records or str(home)

    def check(connection: Connection) -> None:
        schema = schema_of(connection)
        if schema != HEAD:
            raise _not_current(where, schema)

    if not addresses.records and not (home / METADATA_FILE).is_file():  # opening would make one
        raise _not_current(where, None)
    with ExitStack() as opened:
        database: Database = database_of(home, addresses)
        opened.callback(database.close)
        if addresses.records:
            database = _CheckedAtFirst(database, check)
        else:
            with database.reading() as connection:
                check(connection)
        registry = registry_on(database, home, addresses, trust=trust, keyring=keyring)
        opened.pop_all()
    return registry


def database_of(home: Path, addresses: Addresses) -> Database:
    """The database of the store's records; a file is made if it is not there."""
    if addresses.records:
        return PostgresDatabase(addresses.records)
    return SqliteDatabase(home / METADATA_FILE)


def blobs_of(home: Path, addresses: Addresses) -> LocalBlobs | ObjectBlobs:
    """Where the store's blobs are."""
    return ObjectBlobs(addresses.blobs) if addresses.blobs else LocalBlobs(home / BLOBS_FOLDER)


def cached_versions(home: Path, trust: TrustPolicy, opened_in: str = "") -> CachedVersions:
    """The versions that lie in the store folder *home*, whatever else is away.

    Of encrypted ones those that are opened already, by default or in *opened_in*.
    """
    keyring = Keyring(opened_in=opened_in)
    return CachedVersions(VersionCache(home / CACHE_FOLDER, keyring=keyring), trust)


def registry_on(
    database: Database,
    home: Path,
    addresses: Addresses,
    *,
    audited: bool = True,
    trust: TrustPolicy | None = None,
    keyring: Keyring = NO_KEYRING,
) -> Registry:
    """The registry of the store folder *home* over its *database*, which it will close.

    What is changed through it is told to the audit log of the folder, if *audited*.
    """
    blobs = blobs_of(home, addresses)
    records = SqlMetadata(database)
    cache = VersionCache(home / CACHE_FOLDER, blobs, seals=records.seals, keyring=keyring)
    trail = Trail(home / AUDIT_FOLDER, records.audit) if audited else NoTrail()
    audited_records = AuditedMetadata(records, trail)
    return Registry(audited_records, blobs, cache, trail, trust or DEFAULT_TRUST, keyring)


class _CheckedAtFirst:
    """A database that is checked in its first transaction, for it may be away before."""

    def __init__(self, database: Database, check: Callable[[Connection], None]) -> None:
        self._database = database
        self._check = check
        self._checked = False

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """See the port."""
        with self._database.reading() as connection:
            self._look(connection)
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """See the port."""
        with self._database.writing() as connection:
            self._look(connection)
            yield connection

    def close(self) -> None:
        """See the port."""
        self._database.close()

    def _look(self, connection: Connection) -> None:
        if not self._checked:
            self._check(connection)
            self._checked = True


def _not_current(where: str, schema: str | None) -> StoreError:
    return StoreError(
        f"the store in {where} is of schema {schema or 'none'} and not of {HEAD}",
        next_step="any command that uses the store brings it up: run `shipway versions`",
    )
