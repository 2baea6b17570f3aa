"""A store whose records are in PostgreSQL and whose blobs are in S3: all that a folder does."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from tests.databases import Postgres
from tests.fixtures.stores.make import make
from tests.objects import ObjectStorage
from tests.stores import NOW, everything, files, manifest

from shipway.domain.digests import digest_of
from shipway.durable import sync_folder
from shipway.errors import ConfigError, StoreError, StoreUnavailable
from shipway.registry import object_blobs
from shipway.registry.addresses import Addresses
from shipway.registry.backup import back_up
from shipway.registry.current import open_current
from shipway.registry.export import export_version
from shipway.registry.health import Level, store_health
from shipway.registry.opening import open_registry
from shipway.registry.records import Version
from shipway.registry.registry import Registry
from shipway.registry.restoring import restore
from shipway.registry.sql.dump import dump, load
from shipway.registry.sql.postgres import PostgresDatabase
from shipway.registry.sql.tables import METADATA

pytestmark = pytest.mark.needs("postgres")

_LATER = (b'["version_changes"', b'["unneeded_blobs"', b'["version_summaries"')
_AUDIT = b'["audit_'


@pytest.fixture
def addresses(postgres: Postgres, s3: ObjectStorage) -> Addresses:
    """An empty database and an empty prefix."""
    return Addresses(records=postgres.fresh(), blobs=s3.fresh())


@pytest.fixture
def registry(tmp_path: Path, addresses: Addresses) -> Iterator[Registry]:
    """The registry there."""
    with open_registry(tmp_path / "home", addresses) as opened:
        yield opened


def publish(registry: Registry, seed: str) -> Version:
    contents = files(seed)
    return registry.publish(manifest(contents), contents, by="anna", now=NOW)


def promote(registry: Registry, version: Version) -> None:
    state = registry.endpoint("production")
    registry.move_endpoint(
        "production",
        model=version.model,
        expected=state.sequence if state else 0,
        live=version.number,
        action="promote",
        by="anna",
        reason="a test",
        evidence=None,
        now=NOW,
    )


def test_another_machine_sees_it(tmp_path: Path, addresses: Addresses, registry: Registry) -> None:
    """What one machine publishes and promotes, another reads and verifies from its folder."""
    version = publish(registry, "a")
    promote(registry, version)
    with open_current(tmp_path / "elsewhere", addresses) as other:
        assert other.version("flight-delay", 1) == version
        assert other.endpoint("production") == registry.endpoint("production")
        opened = other.open_files(version)
        assert {path: file.read_bytes() for path, file in opened.items()} == files("a")
    assert not (tmp_path / "home" / "blobs").exists()
    assert not (tmp_path / "home" / "metadata.sqlite3").exists()


def test_a_version_leaves_for_an_image(tmp_path: Path, registry: Registry) -> None:
    """A version is exported into a store that needs no database and no object storage."""
    version = publish(registry, "a")
    export_version(registry, version, tmp_path / "image", by="anna", now=NOW)
    with open_registry(tmp_path / "image") as exported:
        assert exported.open_files(exported.version("flight-delay", 1))


def test_migrations_make_what_the_code_uses(addresses: Addresses, registry: Registry) -> None:
    """In PostgreSQL as well the migrations make the tables that the code reads and writes."""
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    assert registry.models() == {}
    database = PostgresDatabase(addresses.records)
    with database.reading() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), METADATA)
    database.close()
    assert [each for each in differences if each[0] != "remove_index"] == []


def test_a_newer_store_is_refused(tmp_path: Path, addresses: Addresses, registry: Registry) -> None:
    """A database that a newer release wrote is refused with what to do, and not touched."""
    publish(registry, "a")
    database = PostgresDatabase(addresses.records)
    with database.writing() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0999'")
    database.close()
    with pytest.raises(StoreError, match=r"newer release .*schema 0999") as caught:
        open_registry(tmp_path / "home", addresses)
    assert "pip install --upgrade shipway" in caught.value.next_step
    with (
        open_current(tmp_path / "home", addresses) as current,
        pytest.raises(StoreError, match="schema 0999"),
    ):
        current.models()


@pytest.mark.parametrize(
    ("password", "database", "says"),
    [("wr0ng-w0rd", None, "does not let us in"), (None, "n0where", "cannot be opened")],
)
def test_refused_at_the_door(
    tmp_path: Path, postgres: Postgres, password: str | None, database: str | None, says: str
) -> None:
    """A wrong password and a missing database are told apart, and no password is ever told."""
    address = postgres.address(database or "postgres", password=password)
    with pytest.raises(StoreError, match=says) as caught:
        open_registry(tmp_path, Addresses(records=address))
    assert not isinstance(caught.value, StoreUnavailable)
    chain: BaseException | None = caught.value
    while chain is not None:
        for secret in (postgres.password, "wr0ng-w0rd"):
            assert secret not in f"{chain!s}{chain!r}"
        chain = chain.__cause__ or chain.__context__


def test_an_address_that_cannot_be_read(tmp_path: Path) -> None:
    """A password whose signs part the address is not repeated; how to write it is told."""
    address = "postgresql://anna:se/cr@et@host/database"
    with pytest.raises(ConfigError, match="cannot be read") as caught:
        open_registry(tmp_path, Addresses(records=address))
    assert "%2F" in caught.value.next_step
    told = f"{caught.value}{Addresses(records=address)!r}"
    assert "se/" not in told
    assert "et@" not in told


def test_away_and_back(
    tmp_path: Path, postgres: Postgres, addresses: Addresses, registry: Registry
) -> None:
    """While the database is away each call says so at once; once it is back the next succeeds."""
    version = publish(registry, "a")
    postgres.stop()
    try:
        for _ in range(3):
            with pytest.raises(StoreUnavailable, match="does not answer now"):
                registry.revision()
        with pytest.raises(StoreUnavailable):
            publish(registry, "b")
        with open_current(tmp_path / "home", addresses) as begun:
            with pytest.raises(StoreUnavailable):
                begun.models()
            postgres.start()
            assert begun.models() == {"flight-delay": 1}
    finally:
        postgres.stop()
        postgres.start()
    assert registry.version("flight-delay", 1) == version
    assert publish(registry, "b").number == 2
    postgres.stop()
    postgres.start()
    assert registry.models() == {"flight-delay": 2}


def test_storage_away(
    tmp_path: Path, objects: ObjectStorage, addresses: Addresses, registry: Registry
) -> None:
    """Without object storage what is cached is served, nothing is published, and errors say why."""
    version = publish(registry, "a")
    registry.open_files(version)
    objects.stop()
    try:
        assert registry.open_files(version)
        with pytest.raises(StoreUnavailable, match="does not answer now") as caught:
            publish(registry, "b")
        assert objects.secret not in str(caught.value)
        with (
            open_current(tmp_path / "elsewhere", addresses) as other,
            pytest.raises(StoreUnavailable),
        ):
            other.open_files(version)
        assert registry.models() == {"flight-delay": 1}
    finally:
        objects.start(tmp_path / "log")


def test_a_missing_bucket(tmp_path: Path, postgres: Postgres, s3: ObjectStorage) -> None:
    """A bucket that there is not is named, and nothing is published."""
    addresses = Addresses(records=postgres.fresh(), blobs="s3://no-such-bucket/x")
    with open_registry(tmp_path, addresses) as registry:
        with pytest.raises(StoreError, match="no-such-bucket") as caught:
            publish(registry, "a")
        assert "make the bucket" in caught.value.next_step
        assert registry.models() == {}
    assert s3.port


def test_health(
    tmp_path: Path, s3: ObjectStorage, addresses: Addresses, registry: Registry
) -> None:
    """``doctor`` looks at a store elsewhere as at one in a folder, and tells no password."""
    version = publish(registry, "a")
    home = tmp_path / "home"
    findings = store_health(home, addresses, thorough=True)
    assert {each.level for each in findings} == {Level.OK}
    assert not any(addresses.password in each.message for each in findings if addresses.password)
    entry = next(entry for entry in version.manifest.files if entry.path == "model.onnx")
    key = f"blobs/sha256/{entry.digest.removeprefix('sha256:')}"
    s3.request("PUT", s3.key(addresses.blobs, key), b"?")
    s3.request("DELETE", s3.key(addresses.blobs, "index.json"))
    codes = {each.code for each in store_health(home, addresses, thorough=True) if each.next_step}
    assert codes == {"store.blob-damaged", "store.index-stale"}


def test_an_index_that_was_overtaken(addresses: Addresses, registry: Registry) -> None:
    """Two who write the index at once leave one that lists what both have published."""
    blobs, listed = registry._blobs, [False]
    first, images = publish(registry, "a"), registry._store.versions.images

    def overtaken() -> object:
        found = images()
        if not listed[0]:
            listed[0] = True
            publish(registry, "b")  # writes the index between the reading and the writing
        return found

    edition = registry._store.edition
    blobs.write_index(lambda: "0", lambda: ())
    blobs.write_index(edition, overtaken)  # type: ignore[arg-type]
    assert first.number == 1
    from shipway.registry.object_blobs import ObjectBlobs
    from shipway.registry.oci import index_bytes

    assert ObjectBlobs(addresses.blobs).read_index() == index_bytes(images(), edition())


def test_a_removal_does_not_wait_for_long(
    s3: ObjectStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Object storage that accepts a removal and says nothing is given up on, and not asked again.

    Whoever removes holds the lock that all publishers wait for.
    """
    monkeypatch.setattr(object_blobs, "_HASTE", timedelta(milliseconds=300))
    address = s3.fresh()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(0)
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(StoreUnavailable):
            object_blobs.ObjectBlobs(address).remove(digest_of(b"x"))
        silent.accept()[0].close()
        with pytest.raises(BlockingIOError):
            silent.accept()


@pytest.mark.parametrize("arrived", [False, True])
def test_a_commit_without_an_answer(
    tmp_path: Path, postgres: Postgres, monkeypatch: pytest.MonkeyPatch, arrived: bool
) -> None:
    """A commit that fails takes the folder along; one that arrived all the same leaves it there."""
    make(tmp_path / "full")
    with open_registry(tmp_path / "full") as registry:
        back_up(registry, tmp_path / "x", beside=tmp_path / "full", by="anna", now=NOW)
        lines, before = list(registry.stores[0].dump()), everything(registry)
    addresses = Addresses(records=postgres.fresh())

    def cut(folder: Path) -> None:
        sync_folder(folder)
        if folder != tmp_path:  # one of the files restored: the last comes when all is in
            return
        with psycopg.connect(addresses.records) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_locks"
                " WHERE locktype = 'advisory' AND database ="
                " (SELECT oid FROM pg_database WHERE datname = current_database())"
            )
        if arrived:
            with closing(PostgresDatabase(addresses.records)) as database:
                load(database, lines, where="a test")

    with monkeypatch.context() as patch:
        patch.setattr("shipway.registry.restoring.sync_folder", cut)
        with pytest.raises(StoreUnavailable):
            restore(tmp_path / "x", tmp_path / "back", addresses)
    if arrived:
        with open_registry(tmp_path / "back", addresses) as registry:
            assert everything(registry) == before
    else:
        assert {path.name for path in tmp_path.iterdir()} == {"full", "x"}
        assert restore(tmp_path / "x", tmp_path / "back", addresses).versions == 4


def test_a_backup_of_an_older_release_comes_into_postgresql(
    tmp_path: Path, postgres: Postgres
) -> None:
    """Tables of the schema of a backup are made and migrated in PostgreSQL as in a file."""
    addresses = Addresses(records=postgres.fresh())
    make(tmp_path / "full")
    with open_registry(tmp_path / "full") as registry:
        lines = [
            b'{"schema":"0001"}' if b'"schema"' in line[:10] else line
            for line in registry.stores[0].dump()
            if not line.startswith((*_LATER, _AUDIT))
        ]
        told = [line for line in registry.stores[0].dump() if not line.startswith(_AUDIT)]
    with closing(PostgresDatabase(addresses.records)) as database:
        load(database, lines, where="a test")
        assert list(dump(database)) == told
