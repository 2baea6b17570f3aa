"""Threats to files: ways out of a folder, links, archives, and what others may read or write."""

from __future__ import annotations

import hashlib
import io
import os
import socket
import stat
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from tests.model_signers import write_files
from tests.serving_rig import eventually, running
from tests.soak.scale import sized
from tests.stores import NOW, Store, files, manifest
from tests.threats.archives import tars, zips
from tests.threats.corpus import as_target, climbs, ways_to
from tests.threats.watching import tree, watched
from tests.unit.packaging.test_image import context

from shipway.durable import private_folder, replace_file, replacing, write_new
from shipway.errors import (
    DigestMismatch,
    FileChanged,
    IntegrityError,
    ModelFileError,
    ShipwayError,
    StoreError,
    UsageError,
)
from shipway.registry.backup import back_up
from shipway.registry.local_blobs import LocalBlobs
from shipway.registry.records import Version
from shipway.registry.restoring import restore
from shipway.registry.trees import resources_of
from shipway.runtimes.pickles import pickles_in
from shipway.runtimes.sources import Unpacked
from shipway.security.matching import check_files
from shipway.security.statements import Statement, read_statement, statement_bytes

SECRET = b"what nobody may read"


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    """A file above every store of the test."""
    path = tmp_path / "canary"
    path.write_bytes(SECRET)
    return path


def renamed(version: Version, path: str) -> Version:
    """*version* as somebody forged it: its first file lies at *path*."""
    entry, *others = version.manifest.files
    entries = (msgspec.structs.replace(entry, path=path), *others)
    return msgspec.structs.replace(
        version, manifest=msgspec.structs.replace(version.manifest, files=entries)
    )


def test_path_traversal_read(tmp_path: Path, canary: Path) -> None:
    """No string of a client leads to a file: not as a model, a version, a digest or a route."""
    store = Store(tmp_path / "house" / "store")
    version = store.publish()
    blobs = LocalBlobs(store.home / "blobs")
    below = store.home / "blobs" / "blobs" / "sha256"
    ways = list(ways_to(canary, below))
    assert len(ways) == 300
    with running(tmp_path / "run") as world, watched() as opened:
        eventually(lambda: world.get("/readyz").status == 200)
        for way in ways:
            with pytest.raises(UsageError):
                store.registry.resolve(f"{way}@1")
            with pytest.raises(UsageError):
                store.registry.resolve(way, version.model)
            for digest in (way, f"sha256:{way}"):
                with pytest.raises(IntegrityError, match="is not a digest"):
                    blobs.open(digest)
            for route in ("/v2/models/{}", "/v1/models/{}:predict", "/{}"):
                wire = world.wire()
                request = f"GET {route.format(as_target(way))} HTTP/1.1\r\nHost: x\r\n\r\n"
                reply = wire.send(request.encode("latin-1")).reply()
                assert 400 <= reply.status < 500, (route, way, reply)
                assert SECRET not in reply.body
                wire.close()
                world.wires.remove(wire)
    assert [path for path in opened if Path(path).name.startswith(canary.name)] == []
    store.registry.close()


def test_path_traversal_write(tmp_path: Path, canary: Path) -> None:
    """No name in a manifest, an archive, a backup or an image makes, changes or removes a file
    elsewhere.
    """
    store = Store(tmp_path / "house" / "store")
    version = store.publish()
    outside = write_files(tmp_path / "outside", {"a": b"a", "b/c": b"c"})
    ways = [*ways_to(canary, store.home / "cache" / "x"), f"{outside}/new", "../outside/new"]
    before = tree(outside)
    for way in ways:
        if climbs(way):
            contents = {**files("a"), way: b"evil"}
            with pytest.raises(UsageError, match="disagree"):
                store.registry.publish(manifest(contents), contents, by="eve", now=NOW)
            with pytest.raises(IntegrityError, match="files that it may not"):
                store.registry.verified_files(renamed(version, way))
        _unpack_elsewhere(way)
        if climbs(way):
            with pytest.raises(UsageError):
                context(tmp_path / "image", version, app={way: b"evil"})
    archive = tmp_path / "backup.tar"
    back_up(store.registry, archive, beside=store.home, by="anna", now=NOW)
    for number, way in enumerate(way for way in ways if climbs(way) and "\x00" not in way):
        with pytest.raises(ShipwayError):
            restore(_with_member(archive, f"files/{way}"), tmp_path / f"restored-{number}")
    assert tree(outside) == before
    assert canary.read_bytes() == SECRET
    assert {path.name for path in tmp_path.iterdir()} == {
        "house", "outside", "canary", "backup.tar", "forged.tar",
    }  # fmt: skip
    assert {path.name for path in (tmp_path / "house").iterdir()} == {"store"}
    store.registry.close()


def _unpack_elsewhere(way: str) -> None:
    """Unpack a model's code with a file called *way*: it is refused, or lies where it should."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as zipped:
        member = zipfile.ZipInfo("source/x")
        member.filename = f"source/{way}"  # past what zipfile would mend
        zipped.writestr(member, b"evil")
    try:
        unpacked = Unpacked.of(buffer.getvalue())
    except ModelFileError:
        return
    try:
        (file,) = [path for path in unpacked.folder.rglob("*") if path.is_file()]
        assert file.resolve().is_relative_to(unpacked.source.resolve())
    finally:
        unpacked.remove()


def _with_member(archive: Path, name: str) -> Path:
    """*archive* with one file more, called *name*, before its end."""
    forged = archive.with_name("forged.tar")
    with tarfile.open(archive) as old, tarfile.open(forged, "w", format=tarfile.PAX_FORMAT) as new:
        for member in old:
            if member.name == "end.json":
                evil = tarfile.TarInfo(name)
                evil.size = 4
                new.addfile(evil, io.BytesIO(b"evil"))
            new.addfile(member, old.extractfile(member))
    return forged


Plant = Callable[[Path, Path], None]


def _bind(path: Path) -> None:
    """A socket at *path*, whose name may be longer than the system takes."""
    here = Path.cwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


def plants() -> dict[str, Plant]:
    """What may stand in the place of a file; *other* holds the same bytes elsewhere."""
    made: dict[str, Plant] = {
        "a link": lambda path, other: path.symlink_to(other),
        "a hard link": lambda path, other: path.hardlink_to(other),
        "a pipe": lambda path, _: os.mkfifo(path),
        "a socket": lambda path, _: _bind(path),
        "a folder": lambda path, _: path.mkdir(),
    }
    if os.geteuid() == 0:
        made["a device"] = lambda path, _: os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 5))
    return made


def test_links_and_races(tmp_path: Path) -> None:
    """What is no plain file of its own is not opened, and a file that is swapped for a link again
    and again gives the published bytes or none.
    """
    store = Store(tmp_path / "store")
    version, good = store.publish(), files("a")
    for name, plant in plants().items():
        opened = store.registry.open_files(version)
        other = tmp_path / f"other {name}"
        other.write_bytes(good["model.onnx"])
        path = opened["model.onnx"]
        path.unlink()
        plant(path, other)
        again = store.registry.open_files(version)["model.onnx"]
        assert stat.S_ISREG(again.lstat().st_mode), name
        assert again.lstat().st_nlink == 1, name
        assert again.read_bytes() == good["model.onnx"]
        _in_a_folder(tmp_path / f"folder {name}", plant, other, hard=name == "a hard link")
    for name in ("notes", ""):
        folder = store.cached(version, name)
        folder.rename(tmp_path / f"moved-{name}")
        folder.symlink_to(tmp_path / f"moved-{name}")
        assert not store.registry.open_files(version)["notes/why.md"].parent.is_symlink()
        assert not folder.is_symlink()
    blob = store.blob(version, "model.onnx")
    foreign = tmp_path / "foreign"
    foreign.write_bytes(b"e" * len(good["model.onnx"]))
    for name, plant in plants().items():
        if name != "a hard link":
            kept = blob.rename(tmp_path / "kept")
            plant(blob, kept)
            with pytest.raises(ShipwayError):
                LocalBlobs(store.home / "blobs").open(f"sha256:{blob.name}").close()
            blob.rmdir() if blob.is_dir() and not blob.is_symlink() else blob.unlink()
            kept.rename(blob)
    whole = blob.read_bytes()
    blob.chmod(0o600)
    blob.write_bytes(foreign.read_bytes())
    store.registry.stores[2].drop_others(frozenset)
    with pytest.raises(DigestMismatch):
        store.registry.open_files(version)
    blob.write_bytes(whole)
    with swapping(blob, foreign):
        for _ in range(sized(60, 10_000)):
            store.registry.stores[2].drop_others(frozenset)
            try:
                path = store.registry.open_files(version)["model.onnx"]
            except ShipwayError:
                continue
            assert path.read_bytes() == good["model.onnx"]
    store.registry.close()


def _in_a_folder(folder: Path, plant: Plant, other: Path, *, hard: bool) -> None:
    """A model outside of the store that has what is planted in it: no signature is of that."""
    write_files(folder, {"a": b"a"})
    plant(folder / "model.onnx", other)
    if hard or (folder / "model.onnx").is_dir():  # which has the bytes, or is no file at all
        return
    digests = {one.name: one.digest for one in resources_of(folder, Statement("", ()))}
    assert digests["model.onnx"] == ""
    told = {**digests, "model.onnx": hashlib.sha256(other.read_bytes()).hexdigest()}
    signed = read_statement(statement_bytes("it", told))
    with pytest.raises(FileChanged):
        check_files(signed, resources_of(folder, signed), what="it")


@contextmanager
def swapping(path: Path, foreign: Path) -> Iterator[None]:
    """Within the block *path* is now a file, now a link to *foreign*, as fast as that goes."""
    ended = threading.Event()
    whole, link = path.with_name("whole"), path.with_name("link")
    content = path.read_bytes()

    def swap() -> None:
        while not ended.is_set():
            link.symlink_to(foreign)
            link.replace(path)
            whole.write_bytes(content)
            whole.replace(path)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def test_archives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Archives that lead elsewhere, hold what is no file, or unpack to too much are all refused."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    made = zips()
    for name, data in made.items():
        where = any(word in name for word in ("a path", "an absolute", "a link", "a device"))
        with pytest.raises(ModelFileError, match="it holds" if where else "damaged"):
            Unpacked.of(data)
        assert list(scratch.iterdir()) == [], name
    bomb = tmp_path / "model.zip"
    for name in ("a bomb", "too many files"):
        bomb.write_bytes(made[name])
        assert [path for path, _ in pickles_in({"model.zip": bomb})] == ["model.zip"]
    bomb.write_bytes(made["damaged data"])
    assert pickles_in({"model.zip": bomb}) == []
    store = Store(tmp_path / "store")
    store.publish()
    archive = tmp_path / "backup.tar"
    back_up(store.registry, archive, beside=store.home, by="anna", now=NOW)
    store.registry.close()
    with tarfile.open(archive) as whole:
        header, records = (whole.extractfile(whole.next() or "") for _ in range(2))
        assert header is not None
        assert records is not None
        forged = tars(header.read(), records.read())
    before = tree(tmp_path)
    for name, (data, why) in forged.items():
        source = tmp_path / "forged.tar"
        source.write_bytes(data)
        with pytest.raises((IntegrityError, StoreError), match=why or None):
            restore(source, tmp_path / "restored")
        source.unlink()
        assert tree(tmp_path) == before, name
    assert len(made) + len(forged) >= 25


def test_insecure_temporary_files(tmp_path: Path) -> None:
    """Whatever the umask, what a store writes is for its user alone, and no name of a file in
    between can be known, nor used by somebody who was there first.
    """
    before = os.umask(0)
    try:
        store = Store(tmp_path / "deep" / "store")
        version = store.publish()
        store.registry.open_files(version)
        back_up(store.registry, tmp_path / "deep" / "b.tar", beside=store.home, by="a", now=NOW)
        store.registry.close()
        private_folder(tmp_path / "deep" / "run" / "more")
    finally:
        os.umask(before)
    modes = {
        path.relative_to(tmp_path).as_posix(): stat.S_IMODE(path.lstat().st_mode)
        for path in tmp_path.rglob("*")
    }
    assert {name: oct(mode) for name, mode in modes.items() if mode & 0o077} == {}
    victim, target = tmp_path / "victim", tmp_path / "target"
    victim.write_bytes(SECRET)
    target.symlink_to(victim)
    with pytest.raises(OSError, match="exists"):
        write_new(target, b"evil")
    with watched() as opened:
        for _ in range(sized(100, 1_000)):
            replace_file(target, b"new")
            with replacing(target) as file:
                file.write(b"new")
    assert victim.read_bytes() == SECRET
    names = [path for path in opened if path.endswith(".tmp")]
    assert len(names) == len(set(names)) == 2 * sized(100, 1_000)
