"""Publishing: all or nothing, once, and numbered without a gap."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.stores import Store, files, manifest

from shipway.errors import NameNotAllowed, NotFoundError, StoreError, UsageError
from shipway.registry.opening import open_registry

ROOT = Path(__file__).parents[3]


def test_numbers_count_from_one(store: Store) -> None:
    """Each model's versions are numbered 1, 2, 3 on their own."""
    assert [store.publish(seed).number for seed in "abc"] == [1, 2, 3]
    assert store.publish("a", model="fraud").number == 1
    assert store.registry.models() == {"flight-delay": 3, "fraud": 1}


def test_same_bytes_are_one_version(store: Store) -> None:
    """The same model published again, later and by another, is the version that there is."""
    first = store.publish("a", by="anna")
    store.publish("b")
    store.now += timedelta(days=1)
    assert store.publish("a", by="ben") == first
    assert [version.number for version in store.registry.versions("flight-delay")] == [1, 2]


def test_all_that_was_published_comes_back(store: Store) -> None:
    """A version is read back, after reopening, as it was published, time zone and all."""
    published = store.publish("a")
    store.reopen()
    version = store.registry.version("flight-delay", 1)
    assert version == published
    assert version.created_at == store.now
    assert version.created_at.utcoffset() == timedelta(0)
    opened = store.registry.open_files(version)
    assert {path: file.read_bytes() for path, file in opened.items()} == files("a")


def test_every_fault_is_told_and_nothing_written(store: Store) -> None:
    """A manifest with several faults is refused with all of them, and leaves no trace."""
    contents = files("a")
    described = manifest({**contents, "../escape": b"", "/etc/x": b""})
    before = sorted(store.home.rglob("*"))
    with pytest.raises(UsageError) as caught:
        store.registry.publish(
            described, {**contents, "extra": b"", "shipway.toml": b"!"}, by="anna", now=store.now
        )
    codes = [problem.code for problem in caught.value.problems]
    assert codes.count("registry.path-not-allowed") == 2
    assert codes.count("registry.file-missing") == 2
    assert {"registry.file-unlisted", "registry.file-differs"} <= set(codes)
    assert sorted(store.home.rglob("*")) == before
    assert store.registry.models() == {}


def test_main_file_must_be_there(store: Store) -> None:
    """A version without the file that the model is loaded from is refused."""
    contents = files("a")
    del contents["model.onnx"]
    with pytest.raises(UsageError, match=r"main file 'model\.onnx' was not given"):
        store.registry.publish(manifest(contents), contents, by="anna", now=store.now)


@pytest.mark.parametrize("name", ["Flight", "../x", "con", "", "a" * 129, "flight delay"])
def test_model_names(store: Store, name: str) -> None:
    """A model has a name that is one file name everywhere, in lower case."""
    with pytest.raises(NameNotAllowed):
        store.publish("a", model=name)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("field", ["threshold", "metrics"])
def test_not_a_number(store: Store, field: str, value: float) -> None:
    """A manifest that JSON cannot hold exactly is refused, not changed on the way."""
    contents = files("a")
    changed = {field: {"roc_auc": value} if field == "metrics" else value}
    described = msgspec.structs.replace(manifest(contents), **changed)
    with pytest.raises(UsageError, match="cannot be kept as JSON"):
        store.registry.publish(described, contents, by="anna", now=store.now)


def test_nobody_else_may_look(tmp_path: Path, store: Store) -> None:
    """Whatever the umask, files are 0600 and folders 0700."""
    before = os.umask(0)
    try:
        with open_registry(tmp_path / "open") as registry:
            contents = files("a")
            version = registry.publish(manifest(contents), contents, by="anna", now=store.now)
            registry.open_files(version)
            modes = {
                path: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "open").rglob("*")
            }
    finally:
        os.umask(before)
    assert {mode for path, mode in modes.items() if path.is_dir()} == {0o700}
    assert {mode for path, mode in modes.items() if path.is_file()} == {0o600}


@pytest.mark.parametrize("name", ["write", "fsync", "open", "rename"])
def test_disk_full_at_every_step(store: Store, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Whichever file operation finds the disk full: a whole version, or an error and nothing."""
    published, failures, fault = 0, [], Fault(name)
    while fault.calls >= fault.step:
        fault.next()
        with monkeypatch.context() as patch:
            patch.setattr(*fault.target, fault.call)
            try:
                store.publish(f"model {fault.step}")
                published += 1
            except StoreError as error:
                failures.append(error.message)
        assert len(store.registry.versions("flight-delay")) == published
        assert list((store.home / "blobs" / "staging").iterdir()) == []
    assert len(failures) >= 4
    assert {message for message in failures if "is full" not in message} == set()
    assert {message for message in failures if str(store.home) not in message} == set()
    store.reopen()
    versions = store.registry.versions("flight-delay")
    assert [version.number for version in versions] == list(range(1, published + 1))
    assert all(store.registry.open_files(version) for version in versions)


class Fault:
    """The call number ``step`` of one operation finds the disk full; earlier and later do not."""

    def __init__(self, name: str) -> None:
        self.target: tuple[Any, str] = (Path, "replace") if name == "rename" else (os, name)
        self.real: Callable[..., Any] = getattr(*self.target)
        self.step = self.calls = 0

    def next(self) -> None:
        self.step, self.calls = self.step + 1, 0

    @property
    def call(self) -> Callable[..., Any]:
        def fail(*arguments: Any, **options: Any) -> Any:
            self.calls += 1
            if self.calls == self.step:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return self.real(*arguments, **options)

        return fail


@pytest.mark.needs("unshare")
def test_small_disk_and_read_only_disk(tmp_path: Path) -> None:
    """On a disk that fills up, and on one that is read-only, the error says so; all opens after."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = f"{sys.executable} -m tests.integration.registry.publisher"
    script = f"""
        mount -t tmpfs -o size=600k tmpfs {disk} || exit 99
        {command} {disk}/store anna 0; echo "full: $?"
        mount -o remount,ro {disk}
        {command} {disk}/store anna 1; echo "read-only: $?"
        mount -o remount,rw,size=20m {disk}
        {command} {disk}/store anna 1; echo "grown: $?"
    """
    done = subprocess.run(
        ["unshare", "-Urm", "sh", "-c", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 99 or "unshare failed" in done.stderr:
        pytest.skip(f"this machine forbids to mount: {done.stderr.strip()}")
    assert "full: 4" in done.stdout, done.stderr
    assert "read-only: 4" in done.stdout, done.stderr
    assert "grown: 0" in done.stdout, done.stderr
    assert "is full" in done.stderr
    assert "read-only file system" in done.stderr
    assert "Traceback" not in done.stderr
    numbers = [
        int(line.split()[1]) for line in done.stdout.splitlines() if line.startswith("published")
    ]
    assert numbers == list(range(1, len(numbers) + 1))


def test_missing_versions(store: Store) -> None:
    """A version that there is not is told with those that there are."""
    with pytest.raises(NotFoundError, match="nor of any other model"):
        store.registry.version("flight-delay", 1)
    store.publish("a")
    store.publish("b")
    with pytest.raises(NotFoundError, match="has the versions 1 to 2"):
        store.registry.version("flight-delay", 9)
    with pytest.raises(NotFoundError, match="the store has flight-delay"):
        store.registry.resolve("fraud@1")


def test_references(store: Store) -> None:
    """People may write a version in full, by number, or as the latest."""
    with pytest.raises(UsageError, match="has no model yet"):
        store.registry.resolve("latest")
    for seed in "abc":
        store.publish(seed)
    resolve = store.registry.resolve
    assert resolve("flight-delay@2").number == 2
    assert resolve("2").number == resolve("v2").number == 2
    assert resolve("latest").number == resolve("flight-delay@latest").number == 3
    assert resolve("1", "flight-delay").ref == "flight-delay@1"
    for wrong in ("flight-delay@", "x", "0", "-1", "1.0", "01", "٣", ""):
        with pytest.raises(UsageError, match="does not name a version"):
            resolve(wrong)
    with pytest.raises(NameNotAllowed):
        resolve("../x@1")
    store.publish("a", model="fraud")
    with pytest.raises(UsageError, match="flight-delay, fraud"):
        resolve("latest")
