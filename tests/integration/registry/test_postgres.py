"""What is particular to PostgreSQL: who waits for whom, for how long, and what is durable."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote

import pytest
from tests.databases import Postgres
from tests.stores import NOW

from shipway.domain.digests import digest_of
from shipway.errors import MissingPackage, StoreError, StoreUnavailable
from shipway.registry.object_blobs import ObjectBlobs
from shipway.registry.sql.ledger import SqlLedger
from shipway.registry.sql.migrate import migrate
from shipway.registry.sql.postgres import PostgresDatabase
from shipway.registry.sql.revision import raise_revision, read_revision

pytestmark = pytest.mark.needs("postgres")


@pytest.fixture
def address(postgres: Postgres) -> str:
    """A database whose tables are made."""
    made = postgres.fresh()
    with opened(made) as database:
        migrate(database, where="a test")
    return made


@contextmanager
def opened(address: str, **options: str) -> Iterator[PostgresDatabase]:
    """The database at *address*, with *options* of the server for this connection."""
    told = " ".join(f"-c {name}={value}" for name, value in options.items())
    database = PostgresDatabase(f"{address}?options={quote(told)}" if told else address)
    try:
        yield database
    finally:
        database.close()


def test_who_hangs_with_the_lock_is_ended(address: str) -> None:
    """A writer that stops in the middle is rolled back, and whoever waits gets its turn."""
    limits = {"idle_in_transaction_session_timeout": "300ms"}
    with opened(address, **limits) as hangs, opened(address) as waits:

        def hang() -> None:
            with hangs.writing() as connection:
                raise_revision(connection)
                with waits.writing() as other:  # not before the database has ended the first
                    assert read_revision(other) == 0
                    raise_revision(other)
                raise_revision(connection)

        with pytest.raises(StoreUnavailable):
            hang()
        with hangs.reading() as connection:
            assert read_revision(connection) == 1


def test_who_waits_gives_up_in_the_end(address: str) -> None:
    """A lock that does not come in time is an error that says that trying again may help."""
    with (
        opened(address) as holds,
        opened(address, lock_timeout="50ms") as waits,
        holds.writing(),
        pytest.raises(StoreUnavailable, match="lock timeout") as caught,
        waits.writing(),
    ):
        pass
    assert "look whether the change was made" in caught.value.next_step


def test_a_connection_that_is_cut_takes_its_transaction_along(address: str) -> None:
    """Cut in the middle nothing of it is there, and the next call has a connection of its own."""
    with opened(address) as cut, opened(address) as cuts:

        def write() -> None:
            with cut.writing() as connection:
                raise_revision(connection)
                backend = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
                with cuts.reading() as other:
                    other.exec_driver_sql(f"SELECT pg_terminate_backend({backend})")
                raise_revision(connection)

        with pytest.raises(StoreUnavailable):
            write()
        with cut.writing() as connection:
            assert read_revision(connection) == 0


def test_a_collection_that_lost_its_lock_removes_nothing_more(address: str) -> None:
    """Once the database has ended a collection, others may append, so it stops at once."""
    removed: list[str] = []
    with opened(address) as collects, opened(address) as cuts:
        ledger = SqlLedger(collects)
        digests = [digest_of(f"{index}".encode()) for index in range(5)]
        ledger.note(digests, NOW)

        def remove(digest: str) -> None:
            removed.append(digest)
            with cuts.reading() as other:
                other.exec_driver_sql(
                    "SELECT pg_terminate_backend(pid, 5000) FROM pg_locks"
                    " WHERE locktype = 'advisory' AND database ="
                    " (SELECT oid FROM pg_database WHERE datname = current_database())"
                )

        with pytest.raises(StoreUnavailable):
            ledger.sweep(digests, remove)
    assert len(removed) == 1


def test_a_hurried_server_waits_for_its_disk_all_the_same(address: str) -> None:
    """Where commits are not waited for by default, those of records are; a stricter rule stays."""
    for told, meant in (("off", "on"), ("remote_write", "remote_write")):
        with opened(address, synchronous_commit=told) as database:
            with database.writing() as connection:
                shown = connection.exec_driver_sql("SHOW synchronous_commit").scalar_one()
            assert shown == meant


def test_a_server_that_takes_no_changes(address: str) -> None:
    """What is written to a standby says that it is one."""
    with (
        opened(address, default_transaction_read_only="on") as database,
        pytest.raises(StoreError, match="takes no changes") as caught,
        database.writing() as connection,
    ):
        raise_revision(connection)
    assert "primary" in caught.value.next_step


def test_readers_change_nothing(address: str) -> None:
    """A reading that would change something is refused by the database."""
    with (
        opened(address) as database,
        pytest.raises(StoreError, match="read-only"),
        database.reading() as connection,
    ):
        raise_revision(connection)


def test_a_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra the error is the line that installs it."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(MissingPackage) as database:
        PostgresDatabase("postgresql://host/database")
    with pytest.raises(MissingPackage) as blobs:
        ObjectBlobs("s3://bucket/prefix")
    steps = [caught.value.next_step for caught in (database, blobs)]
    assert steps == ['pip install "shipway[postgres]"', 'pip install "shipway[cloud]"']
