"""Opening a store: made once, migrated once, refused when newer, told about when unwell."""

from __future__ import annotations

import secrets
import shutil
import sqlite3
import subprocess
import threading
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from tests.stores import Store, files

from shipway.durable import locked
from shipway.errors import NotFoundError, StoreError
from shipway.registry.current import METADATA_FILE, open_current
from shipway.registry.health import Level, sqlite_finding, store_health
from shipway.registry.opening import open_registry
from shipway.registry.sql.migrate import _config
from shipway.registry.sql.revision import raise_revision, read_revision
from shipway.registry.sql.schema import HEAD
from shipway.registry.sql.sqlite import SqliteDatabase
from shipway.registry.sql.tables import METADATA
from shipway.security.keys import KeyRing, issue


def statement(home: Path, sql: str) -> None:
    connection = sqlite3.connect(home / METADATA_FILE)
    connection.execute(sql)
    connection.commit()
    connection.close()


def test_newer_store_is_refused(store: Store) -> None:
    """A store that a newer release wrote is refused with what to do, and not touched."""
    store.registry.close()
    statement(store.home, "UPDATE alembic_version SET version_num = '0999'")
    before = (store.home / METADATA_FILE).read_bytes()
    with pytest.raises(StoreError, match=r"newer release .*schema 0999.*knows up to") as caught:
        open_registry(store.home)
    assert "pip install --upgrade shipway" in caught.value.next_step
    assert (store.home / METADATA_FILE).read_bytes() == before
    codes = {finding.code for finding in store_health(store.home) if finding.level is Level.ERROR}
    assert codes == {"store.failed"}


def test_a_server_opens_only_a_store_of_its_own_release(store: Store, tmp_path: Path) -> None:
    """What needs no migration opens without one; an older store, or none, is told and untouched."""
    with open_current(store.home) as registry:
        assert registry.revision() == store.registry.revision()
    store.registry.close()
    statement(store.home, "UPDATE alembic_version SET version_num = '0000'")
    for home, schema in ((store.home, "0000"), (tmp_path / "none", "none")):
        with pytest.raises(StoreError, match=f"schema {schema}") as caught:
            open_current(home)
        assert "shipway versions" in caught.value.next_step
    assert not (tmp_path / "none").exists()


def test_without_creating(tmp_path: Path) -> None:
    """Asked not to make a store, opening an empty folder is an error and leaves it empty."""
    with pytest.raises(NotFoundError, match="no Shipway store") as caught:
        open_registry(tmp_path / "none", create=False)
    assert "shipway init" in caught.value.next_step
    assert list(tmp_path.iterdir()) == []
    open_registry(tmp_path / "some").close()
    open_registry(tmp_path / "some", create=False).close()


def test_sixteen_at_once(tmp_path: Path) -> None:
    """Of 16 that open an empty folder at once one migrates, and all can use it."""
    start, failed = threading.Barrier(16), []

    def use() -> None:
        start.wait()
        try:
            with open_registry(tmp_path / "store") as registry:
                registry.models()
        except StoreError as error:
            failed.append(error)

    threads = [threading.Thread(target=use) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []


def test_migrations_make_what_the_code_uses(store: Store) -> None:
    """The tables that the migrations make are the tables that the code reads and writes."""
    database = SqliteDatabase(store.home / METADATA_FILE)
    with database.reading() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), METADATA)
    database.close()
    indexes = [each for each in differences if each[0] == "remove_index"]
    assert [each for each in differences if each not in indexes] == []
    assert ScriptDirectory.from_config(_config()).get_current_head() == HEAD


@pytest.mark.parametrize(
    "content", [b"this is no database" * 100, b"SQLite format 3\0" + b"?" * 4080]
)
def test_damaged_database(tmp_path: Path, content: bytes) -> None:
    """A file that is no database is named, left as it is, and a backup is advised."""
    home = tmp_path / "store"
    home.mkdir(mode=0o700)
    (home / METADATA_FILE).write_bytes(content)
    with pytest.raises(StoreError, match="is damaged") as caught:
        open_registry(home)
    assert "backup" in caught.value.next_step
    assert (home / METADATA_FILE).read_bytes() == content
    assert "store.records-damaged" in {finding.code for finding in store_health(home)}


def test_folder_that_is_a_file(tmp_path: Path) -> None:
    """A store where a file stands is an error with the path, not a traceback."""
    (tmp_path / "store").write_text("")
    with pytest.raises(StoreError, match="store"):
        open_registry(tmp_path / "store")


def test_hung_writer(tmp_path: Path) -> None:
    """A writer that never ends does not hold others for ever: they are told which file it is."""
    open_registry(tmp_path).close()
    lock = tmp_path / f"{METADATA_FILE}.lock"
    with (
        locked(lock),
        pytest.raises(StoreError, match=r"metadata\.sqlite3\.lock was held by another process"),
        locked(lock, timeout_s=0.02),
    ):
        pass


def test_writers_queue(tmp_path: Path) -> None:
    """A writer waits for the lock file, then holds SQLite's write lock from its first moment."""
    open_registry(tmp_path).close()
    path = tmp_path / METADATA_FILE
    database = SqliteDatabase(path, lock_timeout_s=0.02)
    with (
        locked(tmp_path / f"{METADATA_FILE}.lock"),
        pytest.raises(StoreError, match="was held by another process"),
        database.writing(),
    ):
        pass
    stranger = sqlite3.connect(path, timeout=0)
    with database.writing(), pytest.raises(sqlite3.OperationalError, match="locked"):
        stranger.execute("BEGIN IMMEDIATE")
    stranger.close()
    database.close()


def test_reading_waits_for_no_writer(store: Store) -> None:
    """While a writer hangs, the store is opened, read and closed all the same."""
    version = store.publish("a")
    with (
        locked(store.home / f"{METADATA_FILE}.lock"),
        locked(store.home / "blobs" / "index.lock"),
    ):
        registry = open_registry(store.home)
        assert registry.version("flight-delay", 1) == version
        assert registry.open_files(version)
    registry.close()


def test_failed_write_leaves_nothing(tmp_path: Path) -> None:
    """What a transaction wrote before it failed is gone, and the next writer gets its turn."""
    open_registry(tmp_path).close()
    database = SqliteDatabase(tmp_path / METADATA_FILE)

    def fail() -> None:
        with database.writing() as connection:
            raise_revision(connection)
            raise InterruptedError

    with pytest.raises(InterruptedError):
        fail()
    with database.writing() as connection:
        assert read_revision(connection) == 0
    database.close()


def test_settings_of_connections(store: Store) -> None:
    """Every connection syncs each commit, checks references, and the log is written ahead."""
    database = SqliteDatabase(store.home / METADATA_FILE)
    with database.reading() as connection:
        values = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys", "trusted_schema")
        }
    database.close()
    full = 2
    assert values == {
        "journal_mode": "wal",
        "synchronous": full,
        "foreign_keys": 1,
        "trusted_schema": 0,
    }


def test_keys_are_kept(store: Store) -> None:
    """A key is kept without its secret, revoked once, and each change raises the revision."""
    text, record = issue(
        scopes=["admin"], now=store.now, random=secrets.token_bytes, name="notebook"
    )
    start = store.registry.revision()
    store.registry.add_key(record)
    assert store.registry.revision() == start + 1
    store.reopen()
    assert store.registry.keys() == (record,)
    assert KeyRing(store.registry.keys()).authenticate(text, store.now) == record
    revoked = store.registry.revoke_key(record.id, now=store.now)
    assert revoked.revoked_at == store.now
    assert store.registry.revision() == start + 2
    later = store.now + timedelta(days=1)
    assert store.registry.revoke_key(record.id, now=later) == revoked
    assert store.registry.revision() == start + 2
    with pytest.raises(NotFoundError, match="no key 'x'"):
        store.registry.revoke_key("x", now=store.now)
    secret = text.split("_")[3].encode()
    assert [
        path for path in store.home.rglob("*") if path.is_file() and secret in path.read_bytes()
    ] == []


def test_publishing_does_not_raise_the_revision(store: Store) -> None:
    """Servers that watch the revision do not reload for a version that nobody made live."""
    before = store.registry.revision()
    store.publish("a")
    assert store.registry.revision() == before


def test_an_index_of_many_follows_by_shares(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a large store the index waits for some publishes, and is whole again once it is closed."""
    monkeypatch.setattr("shipway.registry.index_view._SHARE", 1)
    for index in range(9):
        store.publish(f"{index}")
    path = store.home / "blobs" / "index.json"

    def listed() -> int:
        return len(msgspec.json.decode(path.read_bytes())["manifests"])

    assert 3 < listed() < 9
    store.registry.close()
    assert listed() == 9


def test_a_list_that_lies_is_found(store: Store) -> None:
    """A list that was changed by hand, against the triggers, is not what the manifests say."""
    store.publish("a")
    with sqlite3.connect(store.home / METADATA_FILE) as connection:
        connection.execute("DROP TRIGGER version_summaries_refuses_update")
        connection.execute("UPDATE version_summaries SET created_by = 'mallory'")
    connection.close()
    assert "store.list-differs" in {finding.code for finding in store_health(store.home)}


def test_index_follows(store: Store) -> None:
    """``index.json`` lists every version, and one that was lost or changed is made anew."""
    store.publish("a")
    store.publish("b")
    index = store.home / "blobs" / "index.json"
    good = index.read_bytes()
    names = [
        each["annotations"]["org.opencontainers.image.ref.name"]
        for each in msgspec.json.decode(good)["manifests"]
    ]
    assert names == ["flight-delay-1", "flight-delay-2"]
    for content in (None, b"", b"{}"):
        index.unlink()
        if content is not None:
            index.write_bytes(content)
        assert "store.index-stale" in {finding.code for finding in store_health(store.home)}
        store.reopen()
        assert index.read_bytes() == good


@pytest.mark.needs("skopeo")
def test_other_tools_read_the_layout(store: Store, tmp_path: Path) -> None:
    """Skopeo, which knows nothing of Shipway, copies a version out and checks every digest."""
    version = store.publish("a")
    source = f"oci:{store.home / 'blobs'}:flight-delay-1"
    raw = subprocess.run(["skopeo", "inspect", "--raw", source], capture_output=True, check=True)
    image = msgspec.json.decode(raw.stdout)
    assert image["config"]["digest"] == version.digest
    titles = {
        each["annotations"]["org.opencontainers.image.title"]: each["digest"]
        for each in image["layers"]
    }
    assert titles == {entry.path: entry.digest for entry in version.manifest.files}
    subprocess.run(
        ["skopeo", "copy", "--quiet", source, f"dir:{tmp_path / 'copy'}"],
        capture_output=True,
        check=True,
    )
    copied = tmp_path / "copy" / titles["model.onnx"].removeprefix("sha256:")
    assert copied.read_bytes() == files("a")["model.onnx"]


def test_health(store: Store) -> None:
    """A sound store has no error; a lost and a changed blob are told by version and file."""
    version = store.publish("a")
    levels = {finding.level for finding in store_health(store.home, thorough=True)}
    assert Level.ERROR not in levels
    store.blob(version, "notes/why.md").unlink()
    store.blob(version, "model.onnx").write_bytes(b"?")
    (store.home).chmod(0o755)
    quick = [finding.message for finding in store_health(store.home) if finding.next_step]
    assert any("flight-delay@1: notes/why.md is missing" in message for message in quick)
    assert any("others on this machine" in message for message in quick)
    assert not any("model.onnx" in message for message in quick)
    slow = [finding.message for finding in store_health(store.home, thorough=True)]
    assert any("flight-delay@1: model.onnx differs" in message for message in slow)


def test_health_of_nothing(tmp_path: Path) -> None:
    """Where there is no store yet, health says how to begin one, and makes none."""
    finding = store_health(tmp_path / "none")[-1]
    assert finding.code == "store.absent"
    assert "shipway init" in finding.next_step
    assert list(tmp_path.iterdir()) == []


def test_versions_of_sqlite() -> None:
    """The releases of SQLite that can lose a write are told from those that cannot."""
    levels = {
        version: sqlite_finding(version).level
        for version in ((3, 40, 1), (3, 51, 2), (3, 51, 3), (3, 52, 0))
    }
    assert list(levels.values()) == [Level.WARNING, Level.WARNING, Level.OK, Level.OK]


def test_store_can_be_copied(store: Store, tmp_path: Path) -> None:
    """A closed store copied to another folder is the same store."""
    version = store.publish("a")
    store.registry.close()
    shutil.copytree(store.home, tmp_path / "copy")
    with open_registry(tmp_path / "copy") as registry:
        assert registry.version("flight-delay", 1) == version
        assert registry.open_files(version)
