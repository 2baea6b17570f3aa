"""A store made of a backup: everything is checked before anything can be seen."""

from __future__ import annotations

import hashlib
import re
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import IO

import msgspec

from shipway.domain.digests import digest_of
from shipway.domain.names import new_id
from shipway.domain.progress import SILENT, Progress
from shipway.domain.times import iso
from shipway.durable import private_folder, storing, sync_folder, write_new
from shipway.errors import ConflictError, IntegrityError, StoreError, UsageError
from shipway.registry.addresses import IN_FOLDER, Addresses
from shipway.registry.backup import BLOBS, END, FILES, FORMAT, HEADER, RECORDS, End, Header, sum_of
from shipway.registry.current import blobs_of, database_of
from shipway.registry.entries import path_fault
from shipway.registry.needs import Needs
from shipway.registry.opening import open_registry
from shipway.registry.ports import BlobStore
from shipway.registry.sql.database import Database
from shipway.registry.sql.dump import load, refuse_used
from shipway.security.audit import Entry

_BATCH_BYTES = 64 << 20
_SMALL_BYTES = 1 << 20
_BLOB = re.compile(re.escape(BLOBS) + r"([0-9a-f]{64})", re.ASCII)


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    """What was restored, and of what moment it is."""

    header: Header
    versions: int
    blobs: int
    files: int


def restore(
    source: Path, home: Path, addresses: Addresses = IN_FOLDER, *, progress: Progress = SILENT
) -> Restored:
    """Make the store in the folder *home* and at *addresses* of the backup *source*.

    It is all of it, or nothing; only blobs elsewhere may stay, for a collection. Raises
    ConflictError if there is something already, IntegrityError if the backup is not whole, and
    StoreError for one of a newer release or when there is no room.
    """
    home = home.absolute()
    refuse_restoring(home, addresses)
    fresh = home.with_name(f".{home.name}.{new_id()}.restoring")

    with storing(fresh):
        try:
            private_folder(fresh)
            if addresses.records:
                return _restore_elsewhere(source, fresh, home, addresses, progress)
            restored = _restore(source, fresh, addresses, progress=progress)
            _complete(fresh, addresses, restored)
            _place(fresh, home)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    return restored


def refuse_restoring(home: Path, addresses: Addresses = IN_FOLDER) -> None:
    """Raise ConflictError if a store cannot be made in *home* and at *addresses*: one is there."""
    with storing(home):
        taken = home.is_symlink() or (home.exists() and (not home.is_dir() or any(home.iterdir())))
    if taken:
        raise ConflictError(
            f"{home} is there already and is not empty; nothing was restored",
            next_step="restore into a new folder, then set SHIPWAY_HOME to it",
        )
    if addresses.records:
        with closing(database_of(home, addresses)) as database:
            refuse_used(database, where=addresses.told.records)


def _restore_elsewhere(
    source: Path, fresh: Path, home: Path, addresses: Addresses, progress: Progress
) -> Restored:
    """Let the folder have its name before the records can be seen, and lose it if they cannot.

    The answer to a commit can be lost, so it is asked: what the records may need stays.
    """
    place = partial(_place, fresh, home)
    try:
        restored = _restore(source, fresh, addresses, last=place, progress=progress)
    except BaseException:
        if not fresh.exists() and _has_no_record(home, addresses):
            shutil.rmtree(home, ignore_errors=True)
        raise
    with suppress(StoreError):  # the next publish writes the index
        _complete(home, addresses, restored)
    return restored


def _has_no_record(home: Path, addresses: Addresses) -> bool:
    """Whether the database says so; one that does not answer may have some."""
    try:
        with closing(database_of(home, addresses)) as database:
            refuse_used(database, where=addresses.told.records)
    except (ConflictError, StoreError):
        return False
    return True


def _place(fresh: Path, home: Path) -> None:
    """Give *fresh* the name *home*, durably; if that cannot be, *home* is not there."""
    fresh.rename(home)
    try:
        sync_folder(home.parent)
    except OSError:
        home.rename(fresh)
        raise


def _restore(
    source: Path,
    folder: Path,
    addresses: Addresses,
    *,
    last: Callable[[], None] = lambda: None,
    progress: Progress,
) -> Restored:
    with closing(database_of(folder, addresses)) as database:
        return restore_into(
            source,
            database,
            blobs_of(folder, addresses),
            beside=folder,
            where=addresses.told.records or str(folder),
            last=last,
            progress=progress,
        )


def _complete(home: Path, addresses: Addresses, restored: Restored) -> None:
    """Write the index, show that the store opens, and tell its audit log what it is made of."""
    with open_registry(home, addresses) as registry:
        registry.refresh_index()
        detail = {"of": iso(restored.header.created_at), "versions": restored.versions}
        registry.trail.record(Entry(what="store.restore", detail=detail))


def restore_into(
    source: Path,
    database: Database,
    blobs: BlobStore,
    *,
    beside: Path,
    where: str,
    last: Callable[[], None] = lambda: None,
    progress: Progress = SILENT,
) -> Restored:
    """Put the backup *source* into an empty *database* and into *blobs*; its files into *beside*.

    The records come last, in one transaction, once everything that they need is there and
    checked, *last* just before they can be seen. Raises like :func:`restore`; what was put into
    *blobs* by then is for a collection.
    """
    with tempfile.TemporaryFile() as records:
        taken = _take(source, records, blobs, beside, progress)
        needs = Needs()
        for line in _lines(records):
            needs.read(line)
        missing = needs.required - taken.digests
        found = (len(needs.versions), len(taken.digests), taken.files)
        if missing or found != (taken.end.versions, taken.end.blobs, taken.end.files):
            raise _damaged(source, f"of the files of its versions {len(missing)} are missing")
        load(database, _lines(records), where=where, last=last)
    versions, kept, files = found
    return Restored(header=taken.header, versions=versions, blobs=kept, files=files)


class _Taken(msgspec.Struct, frozen=True, kw_only=True):
    """What an archive held, checked member by member."""

    header: Header
    digests: set[str]
    files: int
    end: End


def _take(
    source: Path, records: IO[bytes], blobs: BlobStore, beside: Path, progress: Progress
) -> _Taken:
    """Read the archive once, from its beginning to its end."""
    try:
        with (
            storing(source),
            source.open("rb") as raw,
            tarfile.open(fileobj=raw, mode="r|") as archive,
        ):
            return _take_members(_Members(source, archive), records, blobs, beside, progress)
    except (tarfile.TarError, EOFError, msgspec.MsgspecError, ValueError) as error:
        raise _damaged(source, str(error)) from error


def _take_members(
    members: _Members, records: IO[bytes], blobs: BlobStore, beside: Path, progress: Progress
) -> _Taken:
    header = msgspec.json.decode(members.expect(HEADER), type=Header)
    if header.format != FORMAT:
        raise UsageError(
            f"{members.source} is a backup of format {header.format}, not {FORMAT}",
            next_step="upgrade with `pip install --upgrade shipway`",
        )
    sums = {RECORDS: members.copy(RECORDS, records)}
    digests: set[str] = set()
    waiting: list[bytes] = []
    waiting_bytes = 0
    with progress.start("Restoring", None, "files") as task:
        for name, size in members:
            if name == END:
                break
            if name.startswith(FILES):
                sums[name] = members.write(name.removeprefix(FILES), beside)
            else:
                if waiting and waiting_bytes + size > _BATCH_BYTES:
                    blobs.put(waiting)
                    waiting, waiting_bytes = [], 0
                waiting.append(members.blob(name))
                waiting_bytes += size
                digests.add(digest_of(waiting[-1]))
            task.advance()
    blobs.put(waiting)
    end = msgspec.json.decode(members.content(), type=End)
    if end.contents != sum_of(sums):
        raise _damaged(members.source, "its records or files are not those that it was made with")
    return _Taken(header=header, digests=digests, files=len(sums) - 1, end=end)


class _Members:
    """The members of an archive in their order: plain files with the names that we give alone."""

    def __init__(self, source: Path, archive: tarfile.TarFile) -> None:
        self.source = source
        self._archive = archive
        self._member = tarfile.TarInfo()

    def __iter__(self) -> Iterator[tuple[str, int]]:
        while True:
            member = self._archive.next()
            if member is None:
                raise _damaged(self.source, "it ends too early")
            if not member.isreg():
                raise _damaged(self.source, f"{member.name!r} is no plain file")
            self._member = member
            yield member.name, member.size

    def expect(self, name: str) -> bytes:
        """The content of the next member, which is a small one called *name*."""
        found, size = next(iter(self))
        if found != name or size > _SMALL_BYTES:
            raise _damaged(self.source, f"it has {found!r} where {name!r} belongs")
        return self.content()

    def copy(self, name: str, target: IO[bytes]) -> str:
        """Copy the next member, which is called *name*, to *target*; its digest."""
        found, _ = next(iter(self))
        if found != name:
            raise _damaged(self.source, f"it has {found!r} where {name!r} belongs")
        hashed = hashlib.sha256()
        with self._open() as file:
            while chunk := file.read(_SMALL_BYTES):
                hashed.update(chunk)
                target.write(chunk)
        return f"sha256:{hashed.hexdigest()}"

    def content(self) -> bytes:
        """What the present member holds, all of it."""
        with self._open() as file:
            content = file.read()
        if len(content) != self._member.size:
            raise _damaged(self.source, "it ends too early")
        return content

    def blob(self, name: str) -> bytes:
        """What the present member holds, which must be what its name *name* says."""
        match = _BLOB.fullmatch(name)
        if match is None:
            raise _damaged(self.source, f"{name!r} has no place in it")
        content = self.content()
        if digest_of(content) != f"sha256:{match[1]}":
            raise _damaged(self.source, f"{name} is not what its name says")
        return content

    def write(self, path: str, folder: Path) -> str:
        """Write the present member to *path* below *folder*; its digest."""
        if fault := path_fault(path):
            raise _damaged(self.source, f"{path!r} has no place in it: {fault}")
        with storing(folder):
            private_folder((folder / path).parent)
            content = self.content()
            write_new(folder / path, content)
            sync_folder((folder / path).parent)
        return digest_of(content)

    def _open(self) -> IO[bytes]:
        file = self._archive.extractfile(self._member)
        if file is None:
            raise _damaged(self.source, f"{self._member.name!r} cannot be read")
        return file


def _lines(records: IO[bytes]) -> Iterator[bytes]:
    records.seek(0)
    return iter(records)


def _damaged(source: Path, why: str) -> IntegrityError:
    return IntegrityError(
        f"{source} cannot be restored, and nothing was: {why}",
        next_step="use another backup: this one is cut short, damaged or none of Shipway's",
    )
