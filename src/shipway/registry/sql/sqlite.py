"""All that is particular to SQLite: how it is opened, locked, and kept from forgetting.

Write-ahead logging lets readers read while one writes; ``synchronous=FULL`` makes a commit
survive a power cut. Writers of all processes queue at a file lock before ``BEGIN IMMEDIATE``:
that is fairer than SQLite's own polling, and since checkpoints happen at a writer's commit, no
two connections ever write or checkpoint at once, which is what the WAL-reset race of SQLite
3.7.0 to 3.51.2 needs to lose a transaction.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from sqlalchemy import Connection, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import IntegrityError as ConstraintBroken
from sqlalchemy.pool import ConnectionPoolEntry

from shipway.durable import LOCK_TIMEOUT_S, locked, storing
from shipway.errors import StoreError

_BUSY_TIMEOUT_S = 60.0
_CLOSING_WAIT_S = 2.0
_WRITES = "shipway_writes"
_LOCKED = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_REFUSED = frozenset({sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_CANTOPEN})
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
WAL_RACE_FIRST, WAL_RACE_FIXED = (3, 7, 0), (3, 51, 3)


class SqliteDatabase:
    """A :class:`~shipway.registry.sql.database.Database` in the file *path*."""

    def __init__(self, path: Path, *, lock_timeout_s: float = LOCK_TIMEOUT_S) -> None:
        self._path = path
        self._lock = path.with_name(f"{path.name}.lock")
        self._lock_timeout_s = lock_timeout_s
        self._engine = create_engine(
            f"sqlite:///{path}", connect_args={"timeout": _BUSY_TIMEOUT_S}, pool_size=5
        )
        event.listen(self._engine, "connect", _prepare)
        event.listen(self._engine, "begin", _begin)
        if not self._writes_ahead():
            with storing(path), locked(self._lock, timeout_s=lock_timeout_s):
                _create_private(path)
                self._pragma("journal_mode = WAL")

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """See the port."""
        with self._translated(), self._engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """See the port."""
        with (
            locked(self._lock, timeout_s=self._lock_timeout_s),
            self._translated(),
            self._engine.connect() as plain,
        ):
            connection = plain.execution_options(**{_WRITES: True})
            with connection.begin():
                yield connection

    def close(self) -> None:
        """See the port. Closing the last connection checkpoints, so it queues with writers."""
        with ExitStack() as queue:
            with suppress(StoreError):
                queue.enter_context(locked(self._lock, timeout_s=_CLOSING_WAIT_S))
            self._engine.dispose()

    def _writes_ahead(self) -> bool:
        """Whether the file is there and set up, so that opening it need wait for nobody."""
        with storing(self._path):
            there = self._path.is_file()
        return there and self._pragma("journal_mode") == "wal"

    def _pragma(self, text: str) -> object:
        with self._translated(), self._engine.connect() as connection:
            cursor = connection.connection.cursor()
            return cursor.execute(f"PRAGMA {text}").fetchone()[0]

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except ConstraintBroken:
            raise
        except DBAPIError as error:
            raise _store_error(self._path, error.orig) from error
        except sqlite3.Error as error:  # of a cursor that SQLAlchemy knows nothing of
            raise _store_error(self._path, error) from error


def refuse_changes(table: str) -> tuple[str, ...]:
    """The statements that make the rows of *table* unchangeable, whoever opens the file."""
    return tuple(
        f"CREATE TRIGGER {table}_refuses_{verb.lower()} BEFORE {verb} ON {table} "
        f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        for verb in ("UPDATE", "DELETE")
    )


def has_wal_race(version: tuple[int, ...]) -> bool:
    """Whether SQLite *version* can lose a transaction when two write or checkpoint at once."""
    return WAL_RACE_FIRST <= version < WAL_RACE_FIXED


def quick_check(path: Path) -> str:
    """What SQLite's own check says of the file: ``ok``, or its first complaint."""
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        try:
            row = connection.execute("PRAGMA quick_check(1)").fetchone()
        finally:
            connection.close()
    except sqlite3.Error as error:
        return str(error)
    return str(row[0])


def _create_private(path: Path) -> None:
    """Make the file 0600 before SQLite makes it otherwise; the log files take after it."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))


def _prepare(connection: sqlite3.Connection, _entry: ConnectionPoolEntry) -> None:
    """Settings of every new connection; transactions are begun by :func:`_begin` alone."""
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.execute("PRAGMA trusted_schema = OFF")
    cursor.close()


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _store_error(path: Path, cause: BaseException | None) -> StoreError:
    code = getattr(cause, "sqlite_errorcode", None)
    primary = code & 0xFF if isinstance(code, int) else None
    if primary == sqlite3.SQLITE_FULL:
        return StoreError(
            f"the disk that holds {path} is full; nothing was half-written",
            next_step="free some space there, then try again",
        )
    if primary == sqlite3.SQLITE_IOERR:
        return StoreError(
            f"the disk failed under {path}: {cause}; it is full or damaged",
            next_step="free some space there, look at the disk, then try again",
        )
    if primary in _LOCKED:
        return StoreError(
            f"{path} was locked by another process for {_BUSY_TIMEOUT_S:g} s",
            next_step="see which one with `shipway doctor`; stop it if it hangs, then try again",
        )
    if primary in _REFUSED:
        return StoreError(
            f"{path} cannot be opened for writing: {cause}",
            next_step="give yourself the right to read and write there, "
            "or set SHIPWAY_HOME to a folder of your own",
        )
    if primary in _DAMAGED:
        return StoreError(
            f"{path} is damaged: {cause}",
            next_step="set the file aside and restore it from a backup",
        )
    return StoreError(
        f"{path} cannot be used: {cause}",
        next_step="look at the store with `shipway doctor`, then try again",
    )
