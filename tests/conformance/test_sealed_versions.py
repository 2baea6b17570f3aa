"""Encrypted versions are what they were, and only who holds a key reads them, on every store."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from tests.identities import Reader, keyring
from tests.places import Places
from tests.stores import NOW, Store, files, manifest

from shipway.errors import (
    ConflictError,
    IntegrityError,
    KeyNotHeld,
    SealBroken,
    StoreError,
    UsageError,
)
from shipway.registry.backup import back_up, would_back_up
from shipway.registry.collecting import collect
from shipway.registry.current import cached_versions, open_current
from shipway.registry.deleting import delete_version
from shipway.registry.encrypting import encrypt_version
from shipway.registry.health import Level, store_health
from shipway.registry.opening import open_registry
from shipway.registry.records import Seal, Version
from shipway.registry.restoring import restore
from shipway.registry.signing import listed_images
from shipway.security.sealing import Keyring
from shipway.security.trust import DEFAULT_TRUST

ANNA, BEN = Reader(), Reader()
NONE = timedelta(0)


@pytest.fixture
def opened(tmp_path: Path) -> Path:
    """Where versions are opened."""
    return tmp_path / "memory"


@pytest.fixture
def ring(opened: Path) -> Keyring:
    """What Anna holds."""
    return keyring(ANNA, opened_in=str(opened))


@pytest.fixture
def store(places: Places, tmp_path: Path, ring: Keyring) -> Iterator[Store]:
    """An empty store that encrypts for Anna."""
    made = Store(tmp_path / "store", places.fresh(), ring)
    yield made
    made.registry.close()


def with_keyring(store: Store, ring: Keyring) -> Store:
    """The same store in the hands of somebody else."""
    store.keyring = ring
    store.reopen()
    return store


def contents(store: Store, version: Version) -> dict[str, bytes]:
    """The files of *version*, opened."""
    return {path: file.read_bytes() for path, file in store.registry.open_files(version).items()}


def stored(store: Store) -> list[bytes]:
    """Every blob."""
    _, blobs, _ = store.registry.stores
    found = []
    for digest in blobs.digests():
        with blobs.open(digest) as blob:
            found.append(blob.read())
    return found


def seals(store: Store, version: Version) -> tuple[Seal, ...]:
    """How *version* is encrypted."""
    return store.registry.stores[0].seals.list(version.model, version.number)


def secrets(seed: str = "a") -> set[bytes]:
    """What must not be readable: the content of the files that tell anything."""
    told = files(seed)
    return {told["model.onnx"], told["notes/why.md"]}


def gc(store: Store) -> int:
    return len(collect(store.registry, now=store.now, grace=NONE).removed)


def test_a_version_is_the_same_encrypted(store: Store, places: Places, tmp_path: Path) -> None:
    """Its digest and number are those of the plain version, and its files come out unchanged."""
    plain = Store(tmp_path / "plain", places.fresh())
    with plain.registry:
        expected = plain.publish("a")
    version = store.publish("a")
    assert (version.digest, version.number) == (expected.digest, 1)
    assert contents(store, version) == files("a")
    assert {seal.path for seal in seals(store, version)} == set(files("a"))


def test_nothing_on_disk_can_be_read(store: Store, opened: Path) -> None:
    """Neither the blobs nor the copies on disk have anything of the files; memory alone has."""
    version = store.publish("a")
    store.registry.open_files(version)
    on_disk = [path.read_bytes() for path in store.home.rglob("*") if path.is_file()]
    for secret in secrets():
        assert not [one for one in [*stored(store), *on_disk] if secret in one]
        assert [
            path for path in opened.rglob("*") if path.is_file() and path.read_bytes() == secret
        ]


def test_published_again(store: Store) -> None:
    """The same version stays as it is encrypted, and writes nothing more."""
    first = store.publish("a")
    before, sealed = set(store.registry.stores[1].digests()), seals(store, first)
    assert store.publish("a") == first
    assert set(store.registry.stores[1].digests()) == before
    assert seals(store, first) == sealed


def test_published_again_without_a_key(store: Store) -> None:
    """Somebody without keys publishes an encrypted version again: it stays encrypted."""
    first = store.publish("a")
    sealed = seals(store, first)
    with_keyring(store, Keyring())
    assert store.publish("a") == first
    assert seals(store, first) == sealed
    assert not [one for one in stored(store) if one in secrets()]


def test_lost_files_are_sealed_again(store: Store) -> None:
    """Publishing mends what was lost; without recipients it says what is missing."""
    first = store.publish("a")
    lost = next(one for one in seals(store, first) if one.path == "model.onnx")
    store.registry.stores[1].remove(lost.digest)
    with_keyring(store, Keyring())
    with pytest.raises(ConflictError, match=r"of model.onnx nothing is left"):
        store.publish("a")
    with_keyring(store, keyring(ANNA))
    assert store.publish("a") == first
    assert contents(store, first) == files("a")


def test_a_deleted_version_comes_back(store: Store) -> None:
    """Its encrypted files go with it; published again it is encrypted again."""
    first = store.publish("a")
    old = {seal.digest for seal in seals(store, first)}
    delete_version(store.registry, first.model, 1, by="ben", reason="a mistake", now=store.now)
    assert gc(store) >= len(old)
    assert not old & set(store.registry.stores[1].digests())
    assert store.publish("a") == first
    assert gc(store) == 0
    assert contents(store, first) == files("a")


def test_a_plain_version_is_encrypted_later(store: Store, ring: Keyring) -> None:
    """After `seal` and a collection nothing of the plain files is left, on disk or in the cache."""
    with_keyring(store, Keyring())
    version, other = store.publish("a"), store.publish("b")
    contents(store, version)
    with pytest.raises(UsageError, match="nobody is named"):
        encrypt_version(store.registry, version, by="anna", now=NOW)
    with_keyring(store, ring)
    assert encrypt_version(store.registry, version, by="anna", now=NOW)
    assert not encrypt_version(store.registry, version, by="anna", now=NOW)
    assert gc(store) > 0
    on_disk = [path.read_bytes() for path in store.home.rglob("*") if path.is_file()]
    assert not [one for one in [*stored(store), *on_disk] if one in secrets("a")]
    assert contents(store, version) == files("a")
    assert contents(store, other) == files("b")
    found = store.registry.sealing.encrypted()
    assert (found.sealed_versions, found.plain_versions) == (1, ("flight-delay@2",))


def test_only_who_is_named_reads(store: Store, opened: Path) -> None:
    """Another key, or none, opens nothing, and the error says so."""
    version = store.publish("a")
    for ring in (Keyring(), keyring(BEN)):
        with_keyring(store, ring)
        shutil.rmtree(opened, ignore_errors=True)
        with pytest.raises(KeyNotHeld, match="encrypted"):
            store.registry.open_files(version)


def test_rotation(store: Store, opened: Path) -> None:
    """Keys are wrapped anew, no blob is written, and the old reader reads no more."""
    versions = [store.publish(seed) for seed in "abc"]
    before = set(store.registry.stores[1].digests())
    with_keyring(store, keyring(ANNA, BEN, to=(BEN,), opened_in=str(opened)))
    tried = store.registry.sealing.rotate(NOW, dry_run=True)
    done = store.registry.sealing.rotate(NOW)
    assert tried == done
    assert (done.rewrapped, done.unchanged) == (12, 0)
    assert store.registry.sealing.rotate(NOW).unchanged == 12
    assert set(store.registry.stores[1].digests()) == before
    with_keyring(store, keyring(BEN, opened_in=str(opened)))
    shutil.rmtree(opened, ignore_errors=True)
    assert [contents(store, one) for one in versions] == [files(seed) for seed in "abc"]
    with_keyring(store, keyring(ANNA, opened_in=str(opened)))
    shutil.rmtree(opened)
    with pytest.raises(KeyNotHeld):
        store.registry.open_files(versions[0])


def test_rotation_needs_the_key(store: Store) -> None:
    """Who cannot open a version cannot hand it on; nothing changes."""
    version = store.publish("a")
    sealed = seals(store, version)
    with_keyring(store, keyring(BEN))
    with pytest.raises(KeyNotHeld):
        store.registry.sealing.rotate(NOW)
    assert seals(store, version) == sealed


def test_a_reseal_between_is_not_overwritten(store: Store) -> None:
    """A rotation that was overtaken by a new seal leaves that one as it is."""
    version = store.publish("a")
    old = seals(store, version)
    store.registry.stores[1].remove(old[0].digest)
    store.publish("a")
    fresh = seals(store, version)
    assert store.registry.stores[0].seals.rewrap(version.model, 1, old[:1], NOW) == 0
    assert seals(store, version) == fresh


def test_altered_and_exchanged_files_are_refused(store: Store, opened: Path) -> None:
    """Keys that were exchanged between files or versions in the records open nothing."""
    first, second = store.publish("a"), store.publish("b")
    log = store.registry.stores[0].seals
    mine, theirs = seals(store, first), seals(store, second)
    exchanged = [
        Seal(
            path=one.path,
            digest=one.digest,
            size_bytes=one.size_bytes,
            key=other.key,
            recipients=one.recipients,
        )
        for one, other in zip(mine, theirs, strict=True)
    ]
    assert log.rewrap(first.model, 1, exchanged, NOW) == len(mine)
    with pytest.raises(SealBroken, match="is that of"):
        store.registry.open_files(first)
    assert not list(opened.rglob("model.onnx"))


def test_the_store_is_away(store: Store, opened: Path, ring: Keyring) -> None:
    """Who has opened a version once opens it again without its blobs, also after a restart."""
    version = store.publish("a")
    contents(store, version)
    _, blobs, _ = store.registry.stores
    for digest in list(blobs.digests()):
        blobs.remove(digest)
    shutil.rmtree(opened)
    assert contents(store, version) == files("a")
    trial = cached_versions(store.home, DEFAULT_TRUST, str(opened))
    assert {path: file.read_bytes() for path, file in trial.open_files(version).items()} == files(
        "a"
    )
    shutil.rmtree(opened)
    with pytest.raises(KeyNotHeld):
        trial.open_files(version)
    with open_current(store.home, store.addresses, keyring=ring) as worker:
        assert set(worker.open_files(version)) == set(files("a"))


def test_a_damaged_copy_is_mended(store: Store, opened: Path) -> None:
    """A sealed copy on disk, or an opened file in memory, that was altered is made anew."""
    version = store.publish("a")
    contents(store, version)
    for path in [*store.home.glob("cache/*.sealed/*"), *opened.rglob("model.onnx")]:
        path.write_bytes(b"altered")
    assert contents(store, version) == files("a")


def test_a_missing_seal(store: Store, ring: Keyring) -> None:
    """A version that is encrypted in part is refused, whatever made it so."""
    version = store.publish("a")
    log = store.registry.stores[0].seals
    cache = store.registry.stores[2]

    class Fewer:
        def list(self, model: str, number: int) -> tuple[Seal, ...]:
            return log.list(model, number)[1:]

    cache._seals = Fewer()  # type: ignore[assignment]
    with pytest.raises(SealBroken, match="has no key"):
        store.registry.open_files(version)


def test_backup_and_restore(store: Store, places: Places, tmp_path: Path, ring: Keyring) -> None:
    """A backup holds encrypted files alone, and what is restored opens for the same reader."""
    with_keyring(store, Keyring())
    early = store.publish("b")
    with_keyring(store, ring)
    encrypt_version(store.registry, early, by="anna", now=NOW)
    version = store.publish("a")
    target = tmp_path / "backup.tar"
    planned = would_back_up(store.registry)
    done = back_up(store.registry, target, beside=store.home, by="anna", now=NOW)
    assert planned.blobs == done.blobs
    packed = target.read_bytes()
    assert not [one for seed in "ab" for one in secrets(seed) if one in packed]
    addresses = places.fresh()
    restore(target, tmp_path / "again", addresses)
    with open_registry(tmp_path / "again", addresses, keyring=ring) as registry:
        for one, seed in ((early, "b"), (version, "a")):
            opened = registry.open_files(one)
            assert {path: file.read_bytes() for path, file in opened.items()} == files(seed)
    found = store_health(tmp_path / "again", addresses, thorough=True)
    assert not [one for one in found if one.level is Level.ERROR]


def test_health_names_a_lost_file(store: Store) -> None:
    """`doctor` looks for the encrypted files, and names the one that is gone."""
    version = store.publish("a")
    assert not [
        one
        for one in store_health(store.home, store.addresses, thorough=True)
        if one.code.startswith("store.blob")
    ]
    store.registry.stores[1].remove(seals(store, version)[0].digest)
    found = store_health(store.home, store.addresses)
    assert [one.message for one in found if one.code == "store.blob-damaged"] == [
        "flight-delay@1: contract.yaml is missing from the store"
    ]


def test_images_list_what_can_be_read(store: Store, ring: Keyring) -> None:
    """Tools for images are shown the plain versions, for they cannot read the others."""
    with_keyring(store, Keyring())
    version = store.publish("a")
    records = store.registry.stores[0]
    edition = records.edition()
    assert len(listed_images(records)) == 1
    with_keyring(store, ring)
    encrypt_version(store.registry, version, by="anna", now=NOW)
    records = store.registry.stores[0]
    assert records.edition() != edition
    assert listed_images(records) == ()


def test_a_collection_between_the_steps(store: Store) -> None:
    """Between the bytes and the record, a collection makes the publisher seal and put again."""
    first = store.publish("a")
    delete_version(store.registry, first.model, 1, by="ben", reason="a mistake", now=store.now)
    real = store.registry.stores[0].versions.append
    rounds: list[int] = []

    def append_late(*arguments: object, **options: object) -> Version:
        if not rounds:
            rounds.append(gc(store))
        return real(*arguments, **options)  # type: ignore[arg-type]

    store.registry.stores[0].versions.append = append_late  # type: ignore[method-assign]
    assert store.publish("a") == first
    assert rounds
    assert contents(store, first) == files("a")


def test_what_is_published_is_told(store: Store) -> None:
    """Sealing and rewrapping are lines of the audit log."""
    store.publish("a")
    with_keyring(store, keyring(ANNA, BEN))
    store.registry.sealing.rotate(NOW)
    store.registry.close()
    lines = "".join(path.read_text() for path in (store.home / "audit").rglob("*.jsonl"))
    assert '"version.seal"' in lines
    assert '"version.rewrap"' in lines
    assert BEN.public in lines
    assert ANNA.secret not in lines
    store.reopen()


def test_opened_is_this_users_alone(store: Store, opened: Path, tmp_path: Path) -> None:
    """Nobody else can look in; a folder that somebody else prepared, or a link, is not used."""
    version = store.publish("a")
    file = store.registry.open_files(version)["model.onnx"]
    inside = [one for one in [file, *file.parents] if one.is_relative_to(opened)]
    assert not [one for one in inside if one.stat().st_mode & 0o077]
    mine = next(opened.iterdir())
    mine.chmod(0o755)
    with pytest.raises(StoreError, match="not a folder of this user alone"):
        store.registry.open_files(version)
    mine.chmod(0o700)
    mine.rename(tmp_path / "theirs")
    mine.symlink_to(tmp_path / "theirs")
    with pytest.raises(StoreError, match="not a folder of this user alone"):
        store.registry.open_files(version)


def test_a_collection_follows_no_link(store: Store, opened: Path, tmp_path: Path) -> None:
    """What somebody prepared in the place of our folder in memory is not collected from."""
    store.registry.open_files(store.publish("a"))
    (mine,) = opened.iterdir()
    (folder,) = mine.iterdir()
    precious = tmp_path / "elsewhere" / folder.name / "precious"
    precious.mkdir(parents=True)
    shutil.rmtree(mine)
    mine.symlink_to(tmp_path / "elsewhere")
    gc(store)
    mine.unlink()
    mine.mkdir(mode=0o700)
    folder.symlink_to(precious.parent)
    gc(store)
    assert precious.is_dir()


def test_manifest_paths_still_hold(store: Store) -> None:
    """A path that leads out of the folder is refused for an encrypted version too."""
    version = store.publish("a")
    made = manifest(files("a"))
    bad = list(made.files)
    bad[0] = msgspec.structs.replace(bad[0], path="../outside")
    forged = msgspec.structs.replace(
        version, manifest=msgspec.structs.replace(version.manifest, files=tuple(bad))
    )
    with pytest.raises(IntegrityError, match="may not"):
        store.registry.stores[2].open_files(forged)
