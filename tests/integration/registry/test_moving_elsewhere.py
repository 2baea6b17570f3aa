"""A restore into a database and object storage, as a command does it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.databases import Postgres
from tests.fixtures.stores.make import make
from tests.objects import ObjectStorage
from tests.stores import NOW, everything

from shipway.api.keeping import restore
from shipway.api.project import store_addresses
from shipway.errors import ConfigError, ConflictError
from shipway.registry.addresses import Addresses
from shipway.registry.backup import back_up
from shipway.registry.opening import open_registry

pytestmark = pytest.mark.needs("postgres")


@pytest.fixture
def addresses(tmp_path: Path, postgres: Postgres, s3: ObjectStorage) -> Addresses:
    """An empty database and an empty prefix, named as a user without a project names them."""
    said = {"SHIPWAY_STORE__URL": postgres.fresh(), "SHIPWAY_STORE__BLOBS": s3.fresh()}
    return store_addresses(tmp_path, flags={}, environ=said)


def backup_of(home: Path, target: Path) -> list[object]:
    with open_registry(home) as registry:
        back_up(registry, target, beside=home, by="anna", now=NOW)
        return everything(registry)


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


def test_an_address_is_checked_without_a_project(tmp_path: Path) -> None:
    """Where no project is, a password behind --set is refused as it is in one."""
    with pytest.raises(ConfigError, match="password"):
        store_addresses(tmp_path, flags={"store.url": "postgresql://u:secret@h/db"}, environ={})
