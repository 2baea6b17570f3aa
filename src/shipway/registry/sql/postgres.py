"""All that is particular to PostgreSQL: how it is reached, locked, and waited for.

Writers of all processes queue at one advisory lock of the database, which goes with the
transaction, so that what a writer reads stays true until it commits and numbers have no gap. A
reader sees one snapshot and waits for nobody. Whoever hangs with the lock is ended by the
database before those behind it give up.

The driver takes its password from the address or from libpq's own places, ``PGPASSWORD`` and
``PGPASSFILE``; no error repeats it.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import parse_qsl, unquote

from sqlalchemy import URL, Connection, create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import IntegrityError as ConstraintBroken
from sqlalchemy.exc import TimeoutError as PoolExhausted

from shipway.config.addresses import parts_of, without_password
from shipway.errors import ConfigError, MissingPackage, StoreError, StoreUnavailable

_LOCK = 0x5348495057415900 >> 8  # "SHIPWAY" as a number
_OPTIONS = {
    "statement_timeout": "60s",
    "lock_timeout": "50s",
    "idle_in_transaction_session_timeout": "20s",  # longer than a removal of a blob takes
}
_CONNECTING: dict[str, str | int] = {
    "application_name": "shipway",
    "connect_timeout": 5,
    # A machine that vanished is noticed within seconds, not by the kernel's quarter of an hour.
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
_POOLED, _MORE, _POOL_WAIT_S = 2, 3, 30.0
_TAKE_TURN = text(
    "SELECT pg_advisory_xact_lock(:lock), set_config('synchronous_commit',"
    " CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on'"
    " ELSE current_setting('synchronous_commit') END, true)"
)
_LATER = ("08", "25P03", "40", "53", "55P03", "57")
"""States that pass: no connection, too slow, a deadlock, no resources, no lock, a restart."""
_LET_IN = (
    "{where} does not let us in: {said}",
    "set the password in PGPASSWORD, PGPASSFILE or SHIPWAY_STORE__URL",
)
_STANDBY = (
    "{where} takes no changes: {said}",
    "name the primary server in store.url, or wait until this one is it",
)
_STAYS = {
    "28000": _LET_IN,
    "28P01": _LET_IN,
    "53100": (
        "the disk of the database {where} is full; nothing was half-written",
        "free some space there, then try again",
    ),
    "25006": _STANDBY,
    "0A000": _STANDBY,  # asked for a transaction that may write
    "42501": (
        "the user may not do this in {where}: {said}",
        "let the user make tables there: `GRANT CREATE, USAGE ON SCHEMA public TO user`",
    ),
    "3D000": (
        "{where} cannot be opened: {said}",
        "make the database with `createdb`, or correct store.url",
    ),
}
"""States in which trying again does not help: what happened, and what to do."""
_SAID_AT_THE_DOOR = {
    "password authentication failed": "28P01",
    "no password supplied": "28P01",
    r"pg_hba\.conf": "28000",
    r'role ".*" does not exist': "28000",
    r'database ".*" does not exist': "3D000",
}
"""The states of refused connections, which libpq gives as text alone."""


class PostgresDatabase:
    """A :class:`~shipway.registry.sql.database.Database` at *address*; nothing is asked yet.

    Raises :class:`~shipway.errors.MissingPackage` without the driver.
    """

    def __init__(self, address: str) -> None:
        if importlib.util.find_spec("psycopg") is None:
            raise MissingPackage.for_extra("psycopg", "postgres", "keep records in PostgreSQL")
        self.where = without_password(address)
        url = _url(address)
        given = url.query.get("options", "")
        options = " ".join(f"-c {name}={value}" for name, value in _OPTIONS.items())
        defaults = {name: value for name, value in _CONNECTING.items() if name not in url.query}
        self._engine = create_engine(
            url,
            pool_size=_POOLED,
            max_overflow=_MORE,
            pool_timeout=_POOL_WAIT_S,
            pool_pre_ping=True,  # a database that was away is found again at the next question
            hide_parameters=True,
            connect_args={**defaults, "options": f"{options} {given}".strip()},
        )
        self._snapshots = self._engine.execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        )

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """See the port."""
        with self._translated(), self._snapshots.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """See the port. Durable also where the server is told not to wait for its disk."""
        with (
            self._translated(" (look whether the change was made)"),
            self._engine.connect() as connection,
            connection.begin(),
        ):
            connection.execute(_TAKE_TURN, {"lock": _LOCK})
            yield connection

    def close(self) -> None:
        """See the port."""
        self._engine.dispose()

    @contextmanager
    def _translated(self, doubt: str = "") -> Iterator[None]:
        try:
            yield
        except ConstraintBroken:
            raise
        except PoolExhausted as error:
            message = f"all connections to {self.where} are in use for {_POOL_WAIT_S:g} s"
            raise StoreUnavailable(message, next_step="try again in a moment") from error
        except DBAPIError as error:
            raise _store_error(self.where, error, doubt) from error


def refuse_changes(table: str) -> tuple[str, ...]:
    """The statements that make the rows of *table* unchangeable, whoever connects."""
    return (
        f"CREATE FUNCTION {table}_refuses() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN RAISE EXCEPTION '{table} is append-only'; END $$",
        f"CREATE TRIGGER {table}_refuses_changes BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}"
        f" EXECUTE FUNCTION {table}_refuses()",
    )


def _url(address: str) -> URL:
    parts = parts_of(address)
    if parts is None:
        raise ConfigError(
            f"the address {without_password(address)} cannot be read",
            next_step="write signs like / : @ # ? of a password as %2F %3A %40 %23 %3F",
        )
    return URL.create(
        "postgresql+psycopg",
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        host=parts.hostname,
        port=parts.port,
        database=unquote(parts.path.removeprefix("/")) or None,
        query=dict(parse_qsl(parts.query)),
    )


def _store_error(where: str, error: DBAPIError, doubt: str) -> StoreError:
    said = _said(error.orig)
    state = getattr(error.orig, "sqlstate", None) or _at_the_door(said)
    if state in _STAYS:
        message, next_step = _STAYS[state]
        return StoreError(message.format(where=where, said=said), next_step=next_step)
    if state is None or state.startswith(_LATER):
        return StoreUnavailable(
            f"{where} does not answer now: {said}",
            next_step=f"try again in a moment{doubt}; is the database running and reachable?",
        )
    return StoreError(
        f"{where} cannot be used: {said} [{state}]",
        next_step="look at the store with `shipway doctor`, then try again",
    )


def _at_the_door(said: str) -> str | None:
    if "FATAL" not in said and "no password" not in said:
        return None
    return next(
        (state for words, state in _SAID_AT_THE_DOOR.items() if re.search(words, said)), None
    )


def _said(cause: BaseException | None) -> str:
    """What the server said, or else what the driver did, in one line."""
    primary = getattr(getattr(cause, "diag", None), "message_primary", None)
    return str(primary or " ".join(str(cause).split()) or type(cause).__name__)[:500]
