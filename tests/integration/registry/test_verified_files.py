"""What is opened is what was published, or nothing."""

from __future__ import annotations

import os
import random
import sqlite3

import pytest
from tests.stores import Store, files

from shipway.errors import DigestMismatch, IntegrityError, StoreError
from shipway.registry.current import METADATA_FILE


def test_changed_blob(store: Store) -> None:
    """A single flipped bit in a blob blocks the version, and the error names version and file."""
    version = store.publish("a")
    blob = store.blob(version, "model.onnx")
    good, source = blob.read_bytes(), random.Random(3)
    for _ in range(50):
        bad = bytearray(good)
        bad[source.randrange(len(bad))] ^= 1 << source.randrange(8)
        blob.write_bytes(bad)
        with pytest.raises(DigestMismatch, match=r"flight-delay@1: model\.onnx differs") as caught:
            store.registry.open_files(version)
        assert "publish again" in caught.value.next_step
    assert not list((store.home / "cache").glob("[0-9a-f]*"))
    assert not list((store.home / "cache").glob("new-*"))


def test_all_damaged_files_are_named(store: Store) -> None:
    """Of several damaged files each is named."""
    version = store.publish("a")
    for path in ("model.onnx", "shipway.toml"):
        store.blob(version, path).write_bytes(b"")
    with pytest.raises(DigestMismatch, match=r"model\.onnx, shipway\.toml differ from") as caught:
        store.registry.open_files(version)
    assert [problem.where for problem in caught.value.problems] == ["model.onnx", "shipway.toml"]


def test_publishing_again_mends_a_blob(store: Store) -> None:
    """The same files published again replace the damaged blob, and the version is whole."""
    version = store.publish("a")
    store.blob(version, "model.onnx").write_bytes(b"damaged")
    store.blob(version, "contract.yaml").unlink()
    assert store.publish("a") == version
    assert store.registry.open_files(version)["model.onnx"].read_bytes()


def test_damaged_cache_is_mended(store: Store) -> None:
    """A cached copy alone that is damaged, cut, linked or lost is made anew from the blobs."""
    version = store.publish("a")
    good = files("a")
    outside = store.home.parent / "outside"
    outside.write_bytes(good["model.onnx"])

    def change() -> None:
        store.cached(version, "model.onnx").write_bytes(b"changed")

    def cut() -> None:
        os.truncate(store.cached(version, "model.onnx"), 10)

    def lose() -> None:
        store.cached(version, "notes/why.md").unlink()

    def add() -> None:
        store.cached(version, "model.onnx.data").write_bytes(b"not listed")

    def link() -> None:
        store.cached(version, "model.onnx").unlink()
        store.cached(version, "model.onnx").symlink_to(outside)

    def hard_link() -> None:
        store.cached(version, "model.onnx").unlink()
        store.cached(version, "model.onnx").hardlink_to(outside)

    def pipe() -> None:
        store.cached(version, "model.onnx").unlink()
        os.mkfifo(store.cached(version, "model.onnx"))

    def link_folder() -> None:
        notes = store.cached(version, "notes")
        notes.rename(outside.with_name("notes"))
        notes.symlink_to(outside.with_name("notes"))

    def replace_folder() -> None:
        whole = store.cached(version, "")
        whole.rename(outside.with_name("whole"))
        whole.symlink_to(outside.with_name("whole"))

    for damage in (change, cut, lose, add, link, hard_link, pipe, link_folder, replace_folder):
        store.registry.open_files(version)
        damage()
        opened = store.registry.open_files(version)
        assert {path: file.read_bytes() for path, file in opened.items()} == good, damage
        assert {file.lstat().st_nlink for file in opened.values()} == {1}, damage
        assert not store.cached(version, "model.onnx.data").exists()
        assert not any(path.is_symlink() for path in (store.home / "cache").rglob("*")), damage
    assert outside.read_bytes() == good["model.onnx"]


def test_cache_serves_without_blobs(store: Store) -> None:
    """A version that is whole in the cache opens though its blobs are away."""
    version = store.publish("a")
    store.registry.open_files(version)
    (store.home / "blobs").rename(store.home / "away")
    assert store.registry.open_files(version)["model.onnx"].is_file()


@pytest.mark.parametrize("kind", ["gone", "link", "pipe", "folder"])
def test_blob_that_is_no_file(store: Store, kind: str) -> None:
    """A missing blob, or a link, a pipe or a folder in its place, is refused and not waited for."""
    version = store.publish("a")
    blob = store.blob(version, "model.onnx")
    outside = store.home.parent / "outside"
    blob.rename(outside)
    if kind == "link":
        blob.symlink_to(outside)
    elif kind == "pipe":
        os.mkfifo(blob)
    elif kind == "folder":
        blob.mkdir()
    with pytest.raises(IntegrityError, match="cannot be opened"):
        store.registry.open_files(version)


def test_manifest_changed_by_hand(store: Store) -> None:
    """A manifest changed in the database, triggers dropped, no longer opens nor lists."""
    store.publish("a")
    store.registry.close()
    connection = sqlite3.connect(store.home / METADATA_FILE)
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        connection.execute("UPDATE versions SET manifest = replace(manifest, '0.75', '0.99')")
    connection.execute("DROP TRIGGER versions_refuses_update")
    connection.execute("UPDATE versions SET manifest = replace(manifest, '0.75', '0.99')")
    connection.commit()
    connection.close()
    store.reopen()
    with pytest.raises(DigestMismatch, match="flight-delay@1: its manifest differs"):
        store.registry.version("flight-delay", 1)


def test_no_room_for_the_cache(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the cache cannot be written the error is the disk's, and no half folder stays."""
    version = store.publish("a")

    def refuse(descriptor: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", refuse)
    with pytest.raises(StoreError, match="is full"):
        store.registry.open_files(version)
    assert [path.name for path in (store.home / "cache").iterdir()] == ["lock"]
