"""Deleting, collecting, backing up and restoring are the same wherever a store is."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from tests.fixtures.stores.make import make
from tests.logs import checked, log_lines
from tests.model_signers import new_key
from tests.places import FLAGS, Places
from tests.stores import NOW, Store, everything

from shipway.errors import (
    ConflictError,
    DigestMismatch,
    IntegrityError,
    NotFoundError,
    ShipwayError,
)
from shipway.registry.backup import BackedUp, back_up, would_back_up
from shipway.registry.collecting import GRACE, Collected, collect
from shipway.registry.current import database_of, open_current
from shipway.registry.deleting import delete_version
from shipway.registry.health import Level, store_health
from shipway.registry.opening import open_registry
from shipway.registry.records import Version
from shipway.registry.restoring import restore
from shipway.registry.signing import listed_images
from shipway.registry.sql.schema import schema_of
from shipway.security.signatures import Signer
from shipway.security.trust import TrustMode, TrustPolicy

NONE = timedelta(0)


@pytest.fixture
def store(places: Places, tmp_path: Path) -> Iterator[Store]:
    """An empty store there."""
    made = Store(tmp_path / "store", places.fresh())
    yield made
    made.registry.close()


@pytest.fixture
def full(places: Places, tmp_path: Path) -> Iterator[Store]:
    """A store there with something of everything, a deleted version and events."""
    addresses = places.fresh()
    make(tmp_path / "full", addresses)
    store = Store(tmp_path / "full", addresses)
    store.publish("goes")
    delete(store, 4)
    (store.home / "events").mkdir()
    (store.home / "events" / "1.journal").write_bytes(b"events")
    (store.home / "known.json").write_bytes(b"{}")
    yield store
    store.registry.close()


def delete(store: Store, number: int) -> object:
    return delete_version(
        store.registry, "flight-delay", number, by="ben", reason="a mistake", now=store.now
    )


def gc(store: Store, grace: timedelta = NONE, *, dry_run: bool = False) -> Collected:
    return collect(store.registry, now=store.now, grace=grace, dry_run=dry_run)


def backed_up(store: Store, target: Path) -> BackedUp:
    return back_up(store.registry, target, beside=store.home, by="anna", now=NOW)


def kept(store: Store) -> set[str]:
    return set(store.registry.stores[1].digests())


def needed(version: Version) -> set[str]:
    return {version.digest, *(entry.digest for entry in version.manifest.files)}


def assert_whole(store: Store) -> None:
    """Every version that is visible has every byte, in the store and not only in a cache."""
    there = kept(store)
    for version in store.registry.versions("flight-delay"):
        assert needed(version) <= there
        assert store.registry.open_files(version)


class TestCollecting:
    """Nothing needed is lost, everything else goes."""

    def test_only_what_is_unneeded_goes_and_late(self, store: Store) -> None:
        """The files of a deleted version go after the grace period, and no other file does."""
        stays, goes = store.publish("a"), store.publish("b")
        delete(store, 2)
        with pytest.raises(NotFoundError, match="was deleted by ben"):
            store.registry.version("flight-delay", 2)
        assert gc(store, GRACE).removed == ()
        store.now += GRACE
        told = gc(store, GRACE, dry_run=True)
        assert needed(goes) <= kept(store)
        done = gc(store, GRACE)
        assert set(done.removed) == set(told.removed) >= needed(goes) - needed(stays)
        assert done.freed_bytes > 500
        assert not set(done.removed) & kept(store)
        assert_whole(store)
        assert store.publish("c").number == 3

    def test_the_same_bytes_bring_a_version_back(self, store: Store) -> None:
        """Published again after its files were collected, it is the version that it was."""
        first = store.publish("a")
        delete(store, 1)
        assert gc(store).removed
        assert store.publish("a", by="cleo") == first
        assert_whole(store)

    def test_what_was_live_stays(self, full: Store) -> None:
        """A version that was live cannot be deleted, and a collection leaves its files."""
        for number in (1, 2):
            with pytest.raises(ConflictError, match="is or was live"):
                delete(full, number)
        gc(full)
        assert_whole(full)

    def test_publishers_and_collections_at_once(self, store: Store) -> None:
        """Publishers, deleters and collections without grace at once: no version loses a byte."""
        steps: list[list[Callable[[], object]]] = [
            [partial(store.publish, f"{index % 3}") for index in range(8)],
            [partial(store.publish, f"{index % 3}") for index in range(8)],
            [partial(delete, store, index // 3 + 1) for index in range(9)],
            [partial(gc, store)] * 8,
            [partial(gc, store)] * 8,
        ]
        failed: list[ShipwayError] = []
        threads = [threading.Thread(target=_take, args=(mine, failed)) for mine in steps]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failed == []
        assert_whole(store)
        for seed in "012":
            store.publish(seed)
        numbers = [version.number for version in store.registry.versions("flight-delay")]
        assert numbers == [1, 2, 3]
        assert_whole(store)

    def test_doctor_tells_what_is_too_much_and_too_little(self, store: Store) -> None:
        """Files that nothing needs are told without alarm; a missing one is an error."""
        version = store.publish("a")
        store.registry.stores[1].put([b"orphan"])
        look = partial(store_health, store.home, store.addresses)
        assert {one.code: one.level for one in look()}["store.unneeded"] is Level.OK
        gc(store)
        assert "store.unneeded" not in {one.code for one in look()}
        store.registry.stores[1].remove(version.digest)
        errors = [one.message for one in look() if one.level is Level.ERROR]
        assert errors == ["flight-delay@1: its manifest is missing from the store"]


class TestBackingUp:
    """A backup is whole and of one moment, and becomes a store anywhere."""

    @pytest.mark.parametrize("target", list(FLAGS))
    def test_all_comes_back(self, full: Store, places: Places, tmp_path: Path, target: str) -> None:
        """A store of any kind comes back as one of any kind, whole, and goes on from there."""
        made = backed_up(full, tmp_path / "store.backup")
        assert would_back_up(full.registry).blobs == made.blobs
        addresses = places.fresh(target)
        restored = restore(tmp_path / "store.backup", tmp_path / "back", addresses)
        assert (restored.versions, restored.blobs) == (made.versions, made.blobs)
        back = Store(tmp_path / "back", addresses)
        with back.registry as registry:
            assert everything(registry) == everything(full.registry)
            assert registry.revision() == full.registry.revision()
            assert back.publish("next").number == 5
            record = registry.record_evidence(
                "flight-delay", 5, kind="gate", verdict="pass", body={}, now=NOW
            )
            assert record.id == 4
        assert (tmp_path / "back" / "events" / "1.journal").read_bytes() == b"events"
        assert not (tmp_path / "back" / "known.json").exists()
        levels = {one.level for one in store_health(back.home, addresses, thorough=True)}
        assert levels <= {Level.OK, Level.WARNING}

    def test_it_is_of_one_moment(self, store: Store) -> None:
        """What is published once a dump has begun is in none of its lines."""
        store.publish("a")
        lines = store.registry.stores[0].dump()
        begun = [next(lines), next(lines)]
        store.publish("b")
        store.publish("c", model="fraud")
        told = [*begun, *lines]
        assert sum(line.startswith(b'["versions"') for line in told) == 1

    def test_in_use(self, store: Store, places: Places, tmp_path: Path) -> None:
        """A backup taken while others publish is whole, and holds what was there before."""
        store.publish("first")
        stop, failed = threading.Event(), []

        def publish(name: str) -> None:
            count = 0
            while not stop.is_set():
                count += 1
                try:
                    store.publish(f"{name} {count}")
                except ShipwayError as error:
                    failed.append(error)

        threads = [threading.Thread(target=publish, args=(name,)) for name in "ab"]
        for thread in threads:
            thread.start()
        try:
            for index in range(2):
                before = store.registry.models()["flight-delay"]
                target = tmp_path / f"{index}.backup"
                made = backed_up(store, target)
                assert made.versions >= before
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert failed == []
        for index in range(2):
            addresses = places.fresh()
            restored = restore(tmp_path / f"{index}.backup", tmp_path / f"back{index}", addresses)
            with open_registry(tmp_path / f"back{index}", addresses) as registry:
                versions = registry.versions("flight-delay")
                assert len(versions) == restored.versions
                assert all(map(registry.open_files, versions))

    def test_nothing_is_restored_over_something(
        self, full: Store, places: Places, tmp_path: Path
    ) -> None:
        """Where there is a store already it stays as it was, and no folder is left."""
        backed_up(full, tmp_path / "store.backup")
        before = everything(full.registry)
        home = tmp_path / "back" if full.addresses.records else full.home
        with pytest.raises(ConflictError, match="nothing was restored"):
            restore(tmp_path / "store.backup", home, full.addresses)
        assert everything(full.registry) == before
        assert {path.name for path in tmp_path.iterdir()} == {"full", "store.backup"}

    def test_a_backup_cut_short(self, full: Store, places: Places, tmp_path: Path) -> None:
        """A backup that is cut anywhere leaves no folder and no record, and can be tried again."""
        backed_up(full, tmp_path / "store.backup")
        content = (tmp_path / "store.backup").read_bytes()
        addresses = places.fresh()
        for part in range(6):
            (tmp_path / "cut").write_bytes(content.rstrip(b"\0")[: len(content) * part // 8])
            with pytest.raises(IntegrityError, match="cannot be restored, and nothing was"):
                restore(tmp_path / "cut", tmp_path / "back", addresses)
            assert {path.name for path in tmp_path.iterdir()} == {"full", "store.backup", "cut"}
        if addresses.records:
            database = database_of(tmp_path, addresses)
            with database.reading() as connection:
                assert schema_of(connection) is None
            database.close()
        restore(tmp_path / "store.backup", tmp_path / "back", addresses)

    def test_a_damaged_blob_is_not_backed_up(self, full: Store, tmp_path: Path) -> None:
        """A store that lacks a byte gives no backup, and says what it lacks."""
        version = full.registry.version("flight-delay", 1)
        full.registry.stores[1].remove(version.digest)
        with pytest.raises((IntegrityError, DigestMismatch), match="not in the store"):
            backed_up(full, tmp_path / "store.backup")
        assert [path.name for path in tmp_path.iterdir()] == ["full"]


def _take(steps: Sequence[Callable[[], object]], failed: list[ShipwayError]) -> None:
    """Take *steps* in turn; that a version is not there just now is no failure."""
    for step in steps:
        try:
            step()
        except NotFoundError:
            continue
        except ShipwayError as error:
            failed.append(error)


class TestSigned:
    """A signature is kept with its version, and goes where it goes."""

    def test_no_collection_takes_a_signature(self, store: Store) -> None:
        """Deleted, collected and published again, a version is signed as it was, and found so."""
        version = store.publish()
        record = store.registry.signing.sign(version, SIGNER, by="anna", now=NOW)
        named = index(store)
        gc(store)
        assert index(store) == named
        delete(store, 1)
        assert len(index(store)) == 0
        gc(store)
        assert store.publish() == version
        assert store.registry.signing.records(version) == (record,)
        assert believed(store, version)
        assert index(store) == named <= kept(store)
        assert_no_errors(store)

    def test_a_collection_between_bytes_and_record(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A signature whose blobs are collected as it is made is put again, whole."""
        version = store.publish()
        blobs, put = store.registry.stores[1], store.registry.stores[1].put
        times = []

        def collected(contents: Sequence[bytes]) -> tuple[str, ...]:
            found = put(contents)
            times.append(found)
            if len(times) == 1:
                gc(store)
            return found

        monkeypatch.setattr(blobs, "put", collected)
        store.registry.signing.sign(version, SIGNER, by="anna", now=NOW)
        assert len(times) == 2
        assert believed(store, version)
        assert_no_errors(store)

    def test_a_backup_has_the_signatures(
        self, store: Store, places: Places, tmp_path: Path
    ) -> None:
        """A restored version is believed as it was, and the signature is found by other tools."""
        version = store.publish()
        store.registry.signing.sign(version, SIGNER, by="anna", now=NOW)
        backed_up(store, tmp_path / "one.backup")
        addresses = places.fresh()
        restore(tmp_path / "one.backup", tmp_path / "back", addresses)
        back = Store(tmp_path / "back", addresses)
        with back.registry:
            assert believed(back, version)
            assert index(back) == index(store) <= kept(back)
            assert_no_errors(back)


KEY, _ = new_key()
SIGNER = Signer(KEY)
REQUIRED = TrustPolicy(mode=TrustMode.REQUIRE, identities=(("*", SIGNER.identity),))


def believed(store: Store, version: Version) -> bool:
    with open_current(store.home, store.addresses, trust=REQUIRED) as registry:
        return bool(registry.open_files(version))


def index(store: Store) -> set[str]:
    """The images that other tools find in the layout."""
    return {image.digest for image in listed_images(store.registry.stores[0])}


def assert_no_errors(store: Store) -> None:
    found = store_health(store.home, store.addresses)
    assert [one.message for one in found if one.level is Level.ERROR] == []


class TestTelling:
    """What is kept, taken away or carried elsewhere is told, and the log goes along."""

    def test_each_act_is_a_line(self, full: Store) -> None:
        """Deleting, bringing back, collecting, backing up, and what was refused of it."""
        before = len(log_lines(full.home))
        with pytest.raises(ConflictError):
            delete(full, 1)
        full.publish("goes")
        delete(full, 4)
        gc(full, dry_run=True)
        freed = gc(full)
        backed_up(full, full.home.parent / "one.backup")
        lines = log_lines(full.home)[before:]
        assert [(one.what, one.object, str(one.outcome)) for one in lines] == [
            ("version.delete", "flight-delay@1", "refused"),
            ("version.restore", "flight-delay@4", "done"),
            ("version.delete", "flight-delay@4", "done"),
            ("store.collect", "", "done"),
            ("store.backup", "", "done"),
        ]
        assert lines[3].detail["blobs"] == len(freed.removed) > 0
        assert "a mistake" not in str(lines)

    def test_the_log_goes_with_a_backup(self, full: Store, places: Places, tmp_path: Path) -> None:
        """The log of a restored store is the one that it had, and goes on unbroken from there."""
        before = log_lines(full.home)
        backed_up(full, tmp_path / "one.backup")
        restore(tmp_path / "one.backup", tmp_path / "back", places.fresh("folder"))
        back = Store(tmp_path / "back")
        with back.registry as registry:
            back.publish("later")
            (head,) = registry.audit_heads()
        lines = log_lines(back.home)
        assert lines[: len(before)] == before
        assert [one.what for one in lines[len(before) :]] == ["store.restore", "version.publish"]
        assert checked(back.home / "audit", head).problems == []
