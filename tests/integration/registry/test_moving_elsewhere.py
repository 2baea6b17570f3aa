"""A backup carries a store from its folder into a database and object storage, and back."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.databases import Postgres
from tests.fixtures.stores.make import make
from tests.objects import ObjectStorage
from tests.stores import NOW, everything, files, manifest

from shipway.api.keeping import restore
from shipway.api.project import store_addresses
from shipway.errors import ConfigError, ConflictError, IntegrityError
from shipway.registry.addresses import IN_FOLDER, Addresses
from shipway.registry.backup import back_up
from shipway.registry.opening import open_registry

pytestmark = pytest.mark.needs("postgres")


@pytest.fixture
def addresses(tmp_path: Path, postgres: Postgres, s3: ObjectStorage) -> Addresses:
    """An empty database and an empty prefix, named as a user without a project names them."""
    said = {"SHIPWAY_STORE__URL": postgres.fresh(), "SHIPWAY_STORE__BLOBS": s3.fresh()}
    return store_addresses(tmp_path, flags={}, environ=said)


def backup_of(home: Path, target: Path, addresses: Addresses = IN_FOLDER) -> list[object]:
    with open_registry(home, addresses) as registry:
        back_up(registry, target, beside=home, by="anna", now=NOW)
        return everything(registry)


def test_there_and_back(tmp_path: Path, addresses: Addresses) -> None:
    """All records and files arrive, numbers go on, and a backup from there fills a folder again."""
    make(tmp_path / "full")
    before = backup_of(tmp_path / "full", tmp_path / "folder.backup")
    restore(tmp_path / "folder.backup", tmp_path / "home", addresses=addresses)
    assert not (tmp_path / "home" / "metadata.sqlite3").exists()
    assert not (tmp_path / "home" / "blobs").exists()
    with open_registry(tmp_path / "home", addresses) as registry:
        assert everything(registry) == before
        contents = files("next")
        newest = registry.versions("flight-delay")[-1].number
        version = registry.publish(manifest(contents), contents, by="anna", now=NOW)
        assert version.number == newest + 1
    after = backup_of(tmp_path / "home", tmp_path / "elsewhere.backup", addresses)
    restore(tmp_path / "elsewhere.backup", tmp_path / "back")
    with open_registry(tmp_path / "back") as registry:
        assert everything(registry) == after


def test_nothing_is_restored_over_a_store(tmp_path: Path, addresses: Addresses) -> None:
    """A database that holds a store refuses another, in a dry run too, and keeps what it has."""
    make(tmp_path / "full")
    before = backup_of(tmp_path / "full", tmp_path / "store.backup")
    restore(tmp_path / "store.backup", tmp_path / "home", addresses=addresses)
    for dry_run in (True, False):
        with pytest.raises(ConflictError, match="holds a store already"):
            restore(
                tmp_path / "store.backup",
                tmp_path / "second",
                addresses=addresses,
                dry_run=dry_run,
            )
    assert not (tmp_path / "second").exists()
    with open_registry(tmp_path / "home", addresses) as registry:
        assert everything(registry) == before


def test_a_backup_that_is_not_whole_leaves_the_database_empty(
    tmp_path: Path, addresses: Addresses
) -> None:
    """After half a backup was refused, there is no folder and the whole one is restored."""
    make(tmp_path / "full")
    before = backup_of(tmp_path / "full", tmp_path / "store.backup")
    whole = (tmp_path / "store.backup").read_bytes()
    (tmp_path / "half.backup").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(IntegrityError):
        restore(tmp_path / "half.backup", tmp_path / "home", addresses=addresses)
    assert not (tmp_path / "home").exists()
    restore(tmp_path / "store.backup", tmp_path / "home", addresses=addresses)
    with open_registry(tmp_path / "home", addresses) as registry:
        assert everything(registry) == before


def test_an_address_is_checked_without_a_project(tmp_path: Path) -> None:
    """Where no project is, a password behind --set is refused as it is in one."""
    with pytest.raises(ConfigError, match="password"):
        store_addresses(tmp_path, flags={"store.url": "postgresql://u:secret@h/db"}, environ={})
