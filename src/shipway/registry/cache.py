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
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import suppress
from pathlib import Path

from shipway.domain.names import new_id
from shipway.durable import locked, private_folder, storing, write_new
from shipway.errors import (
    ConfigError,
    DigestMismatch,
    IntegrityError,
    Problem,
    SealBroken,
    StoreUnavailable,
)
from shipway.registry import kept_signatures
from shipway.registry.entries import path_problems
from shipway.registry.kept_signatures import KeptSignatures
from shipway.registry.oci import hex_of
from shipway.registry.opened_folder import holds_opened, opened_folder, own
from shipway.registry.ports import BlobStore, SealLog
from shipway.registry.records import FileEntry, Seal, Version
from shipway.registry.sealed_copies import SUFFIX, SealedCopies
from shipway.security.sealing import NO_KEYRING, Keyring, Opener, Place

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_BLOCKED = "restore the blob or publish again; the version stays blocked until then"


class VersionCache:
    """The folders in *folder*, filled from *blobs*; without these there is what there is.

    ``signatures`` are those of the versions, as they were last read. A version that has *seals* is
    opened by *keyring* into a folder in memory, and lies here only as it is encrypted.
    """

    def __init__(
        self,
        folder: Path,
        blobs: BlobStore | None = None,
        *,
        seals: SealLog | None = None,
        keyring: Keyring = NO_KEYRING,
    ) -> None:
        self._folder = folder
        self._blobs = blobs
        self._seals = seals
        self._keyring = keyring
        self._sealed = SealedCopies(folder)
        self.signatures = KeptSignatures(folder)

    def open_files(self, version: Version) -> dict[str, Path]:
        """The files of *version* on disk, by their path in the manifest, each verified just now.

        Raises :class:`~shipway.errors.DigestMismatch`, which names version and file, if the
        blobs are not what was published, IntegrityError for a manifest with a path that leads out
        of the folder, :class:`~shipway.errors.SealBroken` for what was altered under its
        encryption, and :class:`~shipway.errors.KeyNotHeld` where no key opens it.
        """
        entries = version.manifest.files
        problems = tuple(path_problems(entries))
        if problems:
            raise IntegrityError(
                f"{version.ref}: its manifest names files that it may not",
                next_step="delete the version's use; it was not published by Shipway",
                problems=problems,
            )
        seals = self._seals_of(version)
        where = self._opened_in() if seals else self._folder
        if seals:
            own(where)
            self.forget_plain(version)
        target = where / hex_of(version.digest)
        if not _intact(target, entries):
            read = self._reader(version, seals)
            with storing(where):
                private_folder(where)
                with locked(where / "lock"):
                    if not _intact(target, entries):
                        _fill(where, version, read)
        return {entry.path: target / entry.path for entry in entries}

    def forget_plain(self, version: Version) -> None:
        """Remove the plain copy of a *version* that is encrypted now."""
        if (self._folder / hex_of(version.digest)).exists():
            with storing(self._folder), locked(self._folder / "lock"):
                _remove(self._folder / hex_of(version.digest))

    def drop_others(self, wanted: Callable[[], Set[str]]) -> int:
        """Remove the copies of versions whose digest is not *wanted*; how many there were.

        *wanted* is asked after the copies were listed, so that one made meanwhile is not lost.
        A process that has such a copy open reads on.
        """
        dropped = 0
        for folder in self._folders():
            with storing(folder):
                if not folder.is_dir():
                    continue
            with storing(folder), locked(folder / "lock"):
                copies = [path for path in folder.iterdir() if path.is_dir()]
                kept = {hex_of(digest) for digest in wanted()}
                others = [path for path in copies if path.name.removesuffix(SUFFIX) not in kept]
                for path in others:
                    _remove(path)
                kept_signatures.drop_others(folder, kept)
            dropped += len(others)
        return dropped

    def _folders(self) -> Iterator[Path]:
        yield self._folder
        with suppress(ConfigError):  # nothing can have been opened where there is no such folder
            opened = self._opened_in()
            if holds_opened(opened):
                yield opened

    def _opened_in(self) -> Path:
        return opened_folder(self._folder.parent, self._keyring.opened_in)

    def _seals_of(self, version: Version) -> tuple[Seal, ...]:
        """The seals of *version*; while the store is away, those that were last read."""
        if self._seals is None or self._blobs is None:
            return self._sealed.seals(version)
        try:
            found = self._seals.list(version.model, version.number)
            if found:
                self._sealed.keep(version, found, self._blobs)
        except StoreUnavailable:
            return self._sealed.seals(version)
        return found

    def _reader(self, version: Version, seals: Sequence[Seal]) -> Callable[[FileEntry], bytes]:
        """What gives the content of a file of *version*, not yet held against its manifest."""
        blobs = self._blobs
        if seals:
            opener = self._keyring.opener()
            by_path = {seal.path: seal for seal in seals}
            return lambda entry: self._opened(version, by_path.get(entry.path), entry, opener)
        if blobs is None:
            raise IntegrityError(
                f"{version.ref}: its files are not in {self._folder}",
                next_step="begin again once the store answers",
            )

        def read(entry: FileEntry) -> bytes:
            with blobs.open(entry.digest) as blob:
                return blob.read()

        return read

    def _opened(
        self, version: Version, seal: Seal | None, entry: FileEntry, opener: Opener
    ) -> bytes:
        place = Place(model=version.model, version=version.digest, path=entry.path)
        if seal is None:
            raise SealBroken(
                f"{version.ref}: {entry.path} has no key, though the version is encrypted",
                next_step="restore the store from a backup, or publish the same files again",
            )
        content = self._sealed.content(version, seal)
        if content is None:
            if self._blobs is None:
                raise IntegrityError(
                    f"{version.ref}: {entry.path} is not in {self._folder}",
                    next_step="begin again once the store answers",
                )
            with self._blobs.open(seal.digest) as blob:
                content = blob.read()
        return opener.open(content, seal.key, place)


def _fill(folder: Path, version: Version, read: Callable[[FileEntry], bytes]) -> None:
    target = folder / hex_of(version.digest)
    fresh = folder / f"new-{new_id()}"
    try:
        private_folder(fresh)
        _write(fresh, version, read)
        if os.path.lexists(target):
            aside = folder / f"old-{new_id()}"
            target.rename(aside)
            _remove(aside)
        fresh.rename(target)
    finally:
        _remove(fresh)


def _write(folder: Path, version: Version, read: Callable[[FileEntry], bytes]) -> None:
    problems = []
    for entry in version.manifest.files:
        content = read(entry)
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
