"""A store of its own for one version."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.stores import NOW, Store, files, manifest

from shipway.errors import ConflictError, NotFoundError
from shipway.registry.export import export_version
from shipway.registry.opening import open_registry

MODEL = "flight-delay"


def test_a_version_keeps_its_number(store: Store, tmp_path: Path) -> None:
    """What an image answers with bears the number and the digest that the registry knows."""
    for seed in "abc":
        store.publish(seed)
    second = store.registry.version(MODEL, 2)
    copy = export_version(store.registry, second, tmp_path / "home", by="anna", now=NOW)
    assert (copy.ref, copy.digest, copy.created_by) == (second.ref, second.digest, "anna")
    with open_registry(tmp_path / "home") as exported:
        assert exported.versions(MODEL) == (copy,)
        state = exported.endpoint(MODEL)
        assert state is not None
        assert state.live == 2
        assert exported.open_files(copy).keys() == store.registry.open_files(second).keys()
        with pytest.raises(NotFoundError, match=r"has the versions 2 to 2"):
            exported.version(MODEL, 1)


def test_numbers_go_on_from_the_first(store: Store, tmp_path: Path) -> None:
    """What is published into such a store afterwards has the next number; nothing is renumbered."""
    for seed in "ab":
        store.publish(seed)
    second = store.registry.version(MODEL, 2)
    export_version(store.registry, second, tmp_path / "home", by="anna", now=NOW)
    other = Store(tmp_path / "home")
    try:
        assert other.publish("b").number == 2
        assert other.publish("c").number == 3
        contents = files("d")
        with pytest.raises(ConflictError, match="number 7"):
            other.registry.publish(manifest(contents), contents, by="anna", now=NOW, number=7)
        assert [version.number for version in other.registry.versions(MODEL)] == [2, 3]
    finally:
        other.registry.close()
