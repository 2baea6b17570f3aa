"""Versions as folders of files that a model can be loaded from, verified at every use.

The folder ``<hex of the version's digest>`` holds exactly the files of the manifest. It is
hashed whole each time that it is asked for; one that is not as it should be, by a changed byte,
a link, or a file too many, is set aside and made anew from the blobs.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections.abc import Callable, Set
from contextlib import suppress
from pathlib import Path

from shipway.domain.names import new_id
from shipway.durable import locked, private_folder, storing, write_new
from shipway.errors import DigestMismatch, IntegrityError, Problem
from shipway.registry import kept_signatures
from shipway.registry.entries import path_problems
from shipway.registry.kept_signatures import KeptSignatures
from shipway.registry.oci import hex_of
from shipway.registry.ports import BlobStore
from shipway.registry.records import FileEntry, Version

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_BLOCKED = "restore the blob or publish again; the version stays blocked until then"


class VersionCache:
    """The folders in *folder*, filled from *blobs*; without these there is what there is.

    ``signatures`` are those of the versions, as they were last read.
    """

    def __init__(self, folder: Path, blobs: BlobStore | None = None) -> None:
        self._folder = folder
        self._blobs = blobs
        self.signatures = KeptSignatures(folder)

    def open_files(self, version: Version) -> dict[str, Path]:
        """The files of *version* on disk, by their path in the manifest, each verified just now.

        Raises :class:`~shipway.errors.DigestMismatch`, which names version and file, if the
        blobs are not what was published, and IntegrityError for a manifest with a path that
        leads out of the folder.
        """
        entries = version.manifest.files
        problems = tuple(path_problems(entries))
        if problems:
            raise IntegrityError(
                f"{version.ref}: its manifest names files that it may not",
                next_step="delete the version's use; it was not published by Shipway",
                problems=problems,
            )
        target = self._folder / hex_of(version.digest)
        if not _intact(target, entries):
            if self._blobs is None:
                raise IntegrityError(
                    f"{version.ref}: its files are not in {self._folder}",
                    next_step="begin again once the store answers",
                )
            with storing(self._folder):
                private_folder(self._folder)
                with locked(self._folder / "lock"):
                    if not _intact(target, entries):
                        self._fill(target, version, self._blobs)
        return {entry.path: target / entry.path for entry in entries}

    def drop_others(self, wanted: Callable[[], Set[str]]) -> int:
        """Remove the copies of versions whose digest is not *wanted*; how many there were.

        *wanted* is asked after the copies were listed, so that one made meanwhile is not lost.
        A process that has such a copy open reads on.
        """
        with storing(self._folder):
            if not self._folder.is_dir():
                return 0
        with storing(self._folder), locked(self._folder / "lock"):
            copies = [path for path in self._folder.iterdir() if path.is_dir()]
            kept = {hex_of(digest) for digest in wanted()}
            others = [path for path in copies if path.name not in kept]
            for path in others:
                _remove(path)
            kept_signatures.drop_others(self._folder, kept)
        return len(others)

    def _fill(self, target: Path, version: Version, blobs: BlobStore) -> None:
        fresh = self._folder / f"new-{new_id()}"
        try:
            private_folder(fresh)
            _write(fresh, version, blobs)
            if os.path.lexists(target):
                aside = self._folder / f"old-{new_id()}"
                target.rename(aside)
                _remove(aside)
            fresh.rename(target)
        finally:
            _remove(fresh)


def _write(folder: Path, version: Version, blobs: BlobStore) -> None:
    problems = []
    for entry in version.manifest.files:
        with blobs.open(entry.digest) as blob:
            content = blob.read()
        found = f"sha256:{hashlib.sha256(content).hexdigest()}"
        if found == entry.digest:
            private_folder((folder / entry.path).parent)
            # Not synced: what a power cut takes, the next verification finds missing.
            write_new(folder / entry.path, content, sync=False)
        else:
            message = f"expected {entry.digest}, got {found}"
            problems.append(Problem(DigestMismatch.code, message, where=entry.path))
    if problems:
        names = ", ".join(problem.where for problem in problems)
        verb = "differ from their" if len(problems) > 1 else "differs from its"
        raise DigestMismatch(
            f"{version.ref}: {names} {verb} manifest", next_step=_BLOCKED, problems=problems
        )


def _intact(target: Path, entries: tuple[FileEntry, ...]) -> bool:
    """Whether *target* is a folder with exactly the files of *entries*, each with its digest."""
    try:
        root = os.open(target, _FOLDER)
    except OSError:
        return False
    try:
        if _listing(target) != {entry.path for entry in entries}:
            return False
        return all(_digest_beneath(root, entry.path) == entry.digest for entry in entries)
    except OSError:
        return False
    finally:
        with suppress(OSError):
            os.close(root)


def _listing(target: Path) -> set[str]:
    return {
        f"{Path(parent, name).relative_to(target).as_posix()}"
        for parent, folders, names in os.walk(target)
        for name in [*names, *(each for each in folders if Path(parent, each).is_symlink())]
    }


def _digest_beneath(root: int, path: str) -> str | None:
    """The digest of the regular file *path* below the open folder *root*, following no link.

    None for anything else, and for a file with another name elsewhere: that could change it.
    """
    *folders, name = path.split("/")
    folder = os.dup(root)
    try:
        for part in folders:
            inner = os.open(part, _FOLDER, dir_fd=folder)
            os.close(folder)
            folder = inner
        descriptor = os.open(name, _FILE, dir_fd=folder)
    finally:
        os.close(folder)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
            return None
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def _remove(path: Path) -> None:
    """Remove *path*, whatever it is; what cannot be removed is left and harms nobody."""
    if path.is_symlink() or path.is_file():
        path.unlink(missing_ok=True)
    else:
        shutil.rmtree(path, ignore_errors=True)
