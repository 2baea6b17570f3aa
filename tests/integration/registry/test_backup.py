"""Backing up a store in use, and getting it back whole."""

from __future__ import annotations

import errno
import io
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from tests.faults import OPERATIONS, Fault
from tests.fixtures.stores.make import FOLDER, make
from tests.stores import NOW, Store, everything, files, manifest

from shipway.domain.digests import digest_of
from shipway.errors import (
    ConflictError,
    DigestMismatch,
    IntegrityError,
    ShipwayError,
    StoreError,
)
from shipway.registry.backup import BackedUp, back_up
from shipway.registry.deleting import delete_version
from shipway.registry.health import Level, store_health
from shipway.registry.opening import open_registry
from shipway.registry.restoring import Restored, restore


def backed_up(store: Store, target: Path, *, replace: bool = False) -> BackedUp:
    return back_up(store.registry, target, beside=store.home, by="anna", now=NOW, replace=replace)


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Store]:
    """A store with something of everything, a deleted version and events."""
    make(tmp_path / "full")
    store = Store(tmp_path / "full")
    store.publish("goes")
    delete_version(store.registry, "flight-delay", 4, by="ben", reason="", now=NOW)
    (store.home / "events" / "journals").mkdir(parents=True)
    (store.home / "events" / "journals" / "1.journal").write_bytes(b"events" * 1000)
    (store.home / "run").mkdir()
    (store.home / "run" / "server.json").write_bytes(b"{}")
    yield store
    store.registry.close()


def test_all_comes_back(full: Store, tmp_path: Path) -> None:
    """Versions, evidence, histories, keys, deletions and events come back as they were."""
    made = backed_up(full, tmp_path / "store.backup")
    restored = restore(tmp_path / "store.backup", tmp_path / "back")
    assert (restored.versions, restored.blobs) == (made.versions, made.blobs) == (4, made.blobs)
    with open_registry(tmp_path / "back") as registry:
        assert everything(registry) == everything(full.registry)
        assert registry.revision() == full.registry.revision()
        contents = files("next")
        version = registry.publish(manifest(contents), contents, by="anna", now=NOW)
        assert version.number == 5
        record = registry.record_evidence(
            "flight-delay", 5, kind="gate", verdict="pass", body={}, now=NOW
        )
        assert record.id == 4
    journal = tmp_path / "back" / "events" / "journals" / "1.journal"
    assert journal.read_bytes() == b"events" * 1000
    assert not (tmp_path / "back" / "run").exists()
    levels = {finding.level for finding in store_health(tmp_path / "back", thorough=True)}
    assert levels <= {Level.OK, Level.WARNING}


def test_a_backup_is_private_and_replaces_nothing(full: Store, tmp_path: Path) -> None:
    """It is for its owner's eyes, and takes the place of another one only when told to."""
    target = tmp_path / "store.backup"
    backed_up(full, target)
    assert target.stat().st_mode & 0o777 == 0o600
    with pytest.raises(ConflictError, match="exists already"):
        backed_up(full, target)
    backed_up(full, target, replace=True)


def test_a_full_folder_is_not_restored_into(full: Store, tmp_path: Path) -> None:
    """Nothing is restored over something; an empty folder is taken."""
    backed_up(full, tmp_path / "store.backup")
    with pytest.raises(ConflictError, match="is not empty"):
        restore(tmp_path / "store.backup", full.home)
    (tmp_path / "empty").mkdir()
    assert restore(tmp_path / "store.backup", tmp_path / "empty").versions == 4


def test_a_backup_of_an_older_release(tmp_path: Path) -> None:
    """A backup with the records of the first schema is restored, and migrated."""
    old = tmp_path / "old.backup"
    lines = [b'{"schema":"0001"}', *_rows_of_the_first_schema(tmp_path)]
    make(tmp_path / "full")
    store = Store(tmp_path / "full")
    backed_up(store, tmp_path / "new.backup")
    expected = everything(store.registry)
    store.registry.close()
    _rewritten(tmp_path / "new.backup", old, records=b"\n".join(lines) + b"\n")
    restore(old, tmp_path / "back")
    with open_registry(tmp_path / "back") as registry:
        assert everything(registry) == expected


def test_a_backup_of_a_newer_release(full: Store, tmp_path: Path) -> None:
    """A backup with records of a schema to come is refused with what to do."""
    backed_up(full, tmp_path / "store.backup")
    _rewritten(tmp_path / "store.backup", tmp_path / "newer", records=b'{"schema":"0999"}\n')
    with pytest.raises(ShipwayError):
        restore(tmp_path / "newer", tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_a_damaged_blob_is_not_backed_up(full: Store, tmp_path: Path) -> None:
    """A backup of damaged bytes would hide the damage: it is refused and leaves no file."""
    version = full.registry.version("flight-delay", 1)
    full.blob(version, "model.onnx").write_bytes(b"?")
    with pytest.raises(DigestMismatch, match="is damaged"):
        backed_up(full, tmp_path / "store.backup")
    full.blob(version, "model.onnx").unlink()
    with pytest.raises(IntegrityError, match="not in the store"):
        backed_up(full, tmp_path / "store.backup")
    assert [path.name for path in tmp_path.iterdir()] == ["full"]


def test_a_backup_cut_short(full: Store, tmp_path: Path) -> None:
    """A backup that is cut anywhere is refused, and nothing is left of the attempt."""
    backed_up(full, tmp_path / "store.backup")
    content = (tmp_path / "store.backup").read_bytes().rstrip(b"\0")
    for part in range(16):
        (tmp_path / "cut").write_bytes(content[: len(content) * part // 16])
        with pytest.raises(IntegrityError, match="cannot be restored, and nothing was"):
            restore(tmp_path / "cut", tmp_path / "back")
        assert {path.name for path in tmp_path.iterdir()} == {"full", "store.backup", "cut"}


def test_a_changed_byte(full: Store, tmp_path: Path) -> None:
    """A backup in which a byte of any content was changed is refused."""
    backed_up(full, tmp_path / "store.backup")
    with tarfile.open(tmp_path / "store.backup") as archive:
        members = [member for member in archive.getmembers() if member.size]
    assert len(members) > 10
    for place, member in enumerate(members[1:]):  # the first tells a time and a name
        content = bytearray((tmp_path / "store.backup").read_bytes())
        content[member.offset_data + (place * 7919) % member.size] ^= 1 << (place % 8)
        (tmp_path / "changed").write_bytes(content)
        with pytest.raises(ShipwayError):
            restore(tmp_path / "changed", tmp_path / "back")
        assert not (tmp_path / "back").exists()


@pytest.mark.parametrize(
    "name", ["files/../../escaped", "files//etc/x", "blobs/sha256/../../x", "other", "files/a\\b"]
)
def test_a_member_with_no_place(full: Store, tmp_path: Path, name: str) -> None:
    """An archive never writes outside of the store, whatever its names say."""
    backed_up(full, tmp_path / "store.backup")
    _rewritten(tmp_path / "store.backup", tmp_path / "hostile", extra=name)
    with pytest.raises(IntegrityError, match="has no place in it"):
        restore(tmp_path / "hostile", tmp_path / "deep" / "back")
    assert not (tmp_path / "escaped").exists()
    assert not list((tmp_path / "deep").iterdir())


def test_a_link_is_no_member(full: Store, tmp_path: Path) -> None:
    """A link or a device in an archive is refused."""
    backed_up(full, tmp_path / "store.backup")
    _rewritten(
        tmp_path / "store.backup", tmp_path / "hostile", extra="files/x", kind=tarfile.SYMTYPE
    )
    with pytest.raises(IntegrityError, match="no plain file"):
        restore(tmp_path / "hostile", tmp_path / "back")


def test_a_store_in_use(full: Store, tmp_path: Path) -> None:
    """Backups taken while others publish are each whole: what was there before is in them."""
    stop, failed = threading.Event(), []

    def publish() -> None:
        count = 0
        while not stop.is_set():
            count += 1
            try:
                full.publish(f"{threading.get_ident()} {count}")
            except ShipwayError as error:
                failed.append(error)

    threads = [threading.Thread(target=publish) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for index in range(3):
            before = full.registry.models()["flight-delay"]
            backed_up(full, tmp_path / f"{index}.backup")
            restore(tmp_path / f"{index}.backup", tmp_path / f"back{index}")
            with open_registry(tmp_path / f"back{index}") as registry:
                numbers = [version.number for version in registry.versions("flight-delay")]
                assert numbers == [1, 2, 3, *range(5, numbers[-1] + 1)]
                assert numbers[-1] >= min(before, 3)
                assert all(map(registry.open_files, registry.versions("flight-delay")))
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failed == []


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_disk_that_fails_while_backing_up(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Whichever file operation fails, there is a whole backup or none, and the store stays."""
    store.publish("a")

    def attempt(step: int) -> Callable[[], object]:
        return lambda: backed_up(store, tmp_path / f"{step}.backup")

    for step in failing(monkeypatch, name, attempt):
        target = tmp_path / f"{step}.backup"
        if target.exists():
            restore(target, tmp_path / f"back{step}")
        assert not [path for path in tmp_path.iterdir() if path.suffix == ".tmp"]
        assert store.registry.models() == {"flight-delay": 1}


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_disk_that_fails_while_restoring(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Whichever file operation fails, there is a whole store or none, and nothing beside it."""
    store.publish("a")
    backed_up(store, tmp_path / "store.backup")

    def attempt(step: int) -> Callable[[], Restored]:
        return lambda: restore(tmp_path / "store.backup", tmp_path / f"back{step}")

    for step in failing(monkeypatch, name, attempt):
        home = tmp_path / f"back{step}"
        if home.exists():
            with open_registry(home) as registry:
                assert everything(registry) == everything(store.registry)


def failing(
    monkeypatch: pytest.MonkeyPatch, name: str, attempt: Callable[[int], Callable[[], object]]
) -> Iterator[int]:
    """Make the operation *name* fail at its first call, its second, and so on until it does not."""
    fault = Fault(name, errno.ENOSPC)
    while fault.next():
        with monkeypatch.context() as patch:
            patch.setattr(*fault.target, fault.call)
            with suppress(StoreError, IntegrityError):
                attempt(fault.step)()
        yield fault.step


def _rows_of_the_first_schema(folder: Path) -> list[bytes]:
    import sqlite3

    import msgspec

    with tarfile.open(FOLDER / "schema-0001.tar.xz") as packed:
        packed.extractall(folder / "old", filter="data")
    connection = sqlite3.connect(folder / "old" / "metadata.sqlite3")
    connection.row_factory = sqlite3.Row
    lines = []
    for table in ("versions", "keys", "meta", "evidence", "endpoint_changes"):
        for row in connection.execute(f"SELECT * FROM {table}"):  # noqa: S608
            values = {key: _typed(key, row[key]) for key in row.keys()}  # noqa: SIM118
            lines.append(msgspec.json.encode([table, values]))
    connection.close()
    return lines


def _typed(name: str, value: object) -> object:
    if name == "forced":
        return bool(value)
    if name.endswith("_at") and isinstance(value, str):
        return f"{value.replace(' ', 'T')}Z"
    return value


def _rewritten(
    source: Path,
    target: Path,
    *,
    records: bytes | None = None,
    extra: str = "",
    kind: bytes = tarfile.REGTYPE,
) -> None:
    """The backup *source* with other records, or with one member more, its sums made right."""
    import msgspec

    from shipway.registry.backup import RECORDS, sum_of

    with tarfile.open(source) as old, tarfile.open(target, "w") as new:
        sums: dict[str, str] = {}
        for member in old.getmembers():
            content = old.extractfile(member).read()  # type: ignore[union-attr]
            if member.name == RECORDS and records is not None:
                content = records
            if member.name == RECORDS or member.name.startswith("files/"):
                sums[member.name] = digest_of(content)
            if member.name == "end.json":
                if extra:
                    hostile = tarfile.TarInfo(extra)
                    hostile.type, hostile.linkname = kind, "/etc/passwd"
                    new.addfile(hostile)
                end = msgspec.json.decode(content)
                content = msgspec.json.encode({**end, "contents": sum_of(sums)})
            member.size = len(content)
            new.addfile(member, io.BytesIO(content))
