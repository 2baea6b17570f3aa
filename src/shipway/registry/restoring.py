"""A store made of a backup: everything is checked before anything can be seen."""

from __future__ import annotations

import hashlib
import re
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import msgspec

from shipway.domain.digests import digest_of
from shipway.domain.names import new_id
from shipway.domain.progress import SILENT, Progress
from shipway.durable import private_folder, storing, sync_folder, write_new
from shipway.errors import ConflictError, IntegrityError, UsageError
from shipway.registry.backup import BLOBS, END, FILES, FORMAT, HEADER, RECORDS, End, Header, sum_of
from shipway.registry.current import BLOBS_FOLDER, METADATA_FILE
from shipway.registry.entries import path_fault
from shipway.registry.local_blobs import LocalBlobs
from shipway.registry.needs import Needs
from shipway.registry.opening import open_registry
from shipway.registry.ports import BlobStore
from shipway.registry.sql.database import Database
from shipway.registry.sql.dump import load
from shipway.registry.sql.sqlite import SqliteDatabase

_BATCH_BYTES = 64 << 20
_SMALL_BYTES = 1 << 20
_BLOB = re.compile(re.escape(BLOBS) + r"([0-9a-f]{64})", re.ASCII)


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    """What was restored, and of what moment it is."""

    header: Header
    versions: int
    blobs: int
    files: int


def restore(source: Path, home: Path, *, progress: Progress = SILENT) -> Restored:
    """Make the store folder *home* of the backup *source*: all of it, or nothing.

    Raises ConflictError if there is something in *home*, IntegrityError if the backup is not
    whole, and StoreError for one of a newer release or when there is no room.
    """
    home = home.absolute()
    if home.is_symlink() or (home.exists() and (not home.is_dir() or any(home.iterdir()))):
        raise ConflictError(
            f"{home} is there already and is not empty; nothing was restored",
            next_step="restore into a new folder, then set SHIPWAY_HOME to it",
        )
    fresh = home.with_name(f".{home.name}.{new_id()}.restoring")
    try:
        with storing(fresh):
            private_folder(fresh)
            database = SqliteDatabase(fresh / METADATA_FILE)
            try:
                blobs = LocalBlobs(fresh / BLOBS_FOLDER)
                restored = restore_into(
                    source, database, blobs, beside=fresh, where=str(home), progress=progress
                )
            finally:
                database.close()
            open_registry(fresh).close()  # writes the index, and shows that it opens
            fresh.rename(home)
            sync_folder(home.parent)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return restored


def restore_into(
    source: Path,
    database: Database,
    blobs: BlobStore,
    *,
    beside: Path,
    where: str,
    progress: Progress = SILENT,
) -> Restored:
    """Put the backup *source* into an empty *database* and into *blobs*; its files into *beside*.

    The records come last, in one transaction, once everything that they need is there and
    checked. Raises like :func:`restore`; what was put into *blobs* by then is for a collection.
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
        load(database, _lines(records), where=where)
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
