"""Stores that earlier releases wrote are opened by this one, for ever."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest
from tests.fixtures.stores.make import FOLDER, make
from tests.stores import NOW, files, manifest

from shipway.registry.current import METADATA_FILE
from shipway.registry.health import Level, store_health
from shipway.registry.opening import open_registry
from shipway.registry.sql.schema import HEAD, schema_of
from shipway.registry.sql.sqlite import SqliteDatabase

KEPT = sorted(FOLDER.glob("schema-*.tar.xz"))


def test_there_is_one_of_this_schema() -> None:
    """The newest schema has its kept store, so that no release forgets to leave one."""
    assert f"schema-{HEAD}.tar.xz" in {path.name for path in KEPT}


@pytest.mark.parametrize("kept", KEPT, ids=lambda path: path.name)
def test_a_kept_store_opens_whole(kept: Path, tmp_path: Path) -> None:
    """All that it holds is there after the migration, nothing changed, and it can be written."""
    home = tmp_path / "kept"
    with tarfile.open(kept) as packed:
        packed.extractall(home, filter="data")
    home.chmod(0o700)
    with open_registry(home) as registry:
        assert registry.models() == {"flight-delay": 3, "fraud": 1}
        for number, seed in enumerate("abc", start=1):
            version = registry.version("flight-delay", number)
            opened = registry.open_files(version)
            assert {path: file.read_bytes() for path, file in opened.items()} == files(seed)
            assert [one.kind for one in registry.evidence("flight-delay", number)] == ["gate"]
        history = registry.history("flight-delay")
        told = [(change.action, change.live, change.evidence) for change in history]
        assert told == [("promote", 1, 1), ("promote", 2, 2), ("rollback", 1, None)]
        assert {change.by for change in history} == {"anna"}
        assert len(registry.keys()) == 1
        contents = files("a")
        again = registry.publish(manifest(contents), contents, by="anna", now=NOW)
        assert again == registry.version("flight-delay", 1)
        contents = files("new")
        assert registry.publish(manifest(contents), contents, by="anna", now=NOW).number == 4
    assert {one.level for one in store_health(home, thorough=True)} <= {Level.OK, Level.WARNING}
    database = SqliteDatabase(home / METADATA_FILE)
    with database.reading() as connection:
        assert schema_of(connection) == HEAD
    database.close()


def test_the_maker_makes_such_a_store(tmp_path: Path) -> None:
    """What makes the kept stores still runs, for the release that comes."""
    make(tmp_path / "store")
    with open_registry(tmp_path / "store") as registry:
        assert registry.models() == {"flight-delay": 3, "fraud": 1}
