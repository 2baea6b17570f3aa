"""A store as one file, taken while it is in use, and what such a file looks like.

It is a tar archive, so that every system can look into it: ``shipway-backup.json``,
``records.jsonl``, ``blobs/sha256/<hex>`` for every blob that the records mention, ``files/…``
for what lies beside them (events, labels), and ``end.json``, without which it is not whole.

All records are of one moment. Blobs never change and are collected a grace period after nothing
needs them, so reading them afterwards gives the same as reading them at that moment.
"""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Set
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import IO

import msgspec

from shipway.domain.digests import canonical_json, digest_of
from shipway.domain.progress import SILENT, Progress
from shipway.durable import replacing, storing
from shipway.errors import ConflictError, DigestMismatch, IntegrityError
from shipway.registry.audited import tell
from shipway.registry.needs import Needs
from shipway.registry.oci import hex_of
from shipway.registry.ports import BlobStore
from shipway.registry.registry import Registry
from shipway.security.audit import Entry

HEADER, RECORDS, BLOBS, FILES, END = (
    "shipway-backup.json",
    "records.jsonl",
    "blobs/sha256/",
    "files/",
    "end.json",
)
FORMAT = 1
_NOT_BESIDE = frozenset({"blobs", "cache", "known.json", "personal", "run"})
_PASSING = frozenset({".lock", ".tmp"})


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup says of itself before all else."""

    format: int = FORMAT
    created_at: datetime
    created_by: str


class End(msgspec.Struct, frozen=True, kw_only=True):
    """What a whole backup ends with: what must have come before."""

    contents: str
    versions: int
    blobs: int
    files: int


class BackedUp(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup holds."""

    versions: int
    blobs: int
    files: int
    size_bytes: int


def back_up(
    registry: Registry,
    target: Path,
    *,
    beside: Path | None,
    by: str,
    now: datetime,
    replace: bool = False,
    progress: Progress = SILENT,
) -> BackedUp:
    """Write all of *registry* to the file *target*, with the files in the folder *beside*.

    The file is there whole or not at all, and for its owner's eyes only. Raises ConflictError if
    there is one and it is not to be replaced, IntegrityError for a blob that is missing or
    damaged, and StoreError when there is no room.
    """
    if not replace and os.path.lexists(target):
        raise ConflictError(
            f"{target} exists already; nothing was written",
            next_step="choose another name, or replace it with --force",
        )
    with storing(target), replacing(target) as file, tempfile.TemporaryFile() as records:
        with tarfile.open(fileobj=file, mode="w|", format=tarfile.PAX_FORMAT) as archive:
            needs = _spool(registry, records)
            _add(archive, HEADER, msgspec.json.encode(Header(created_at=now, created_by=by)))
            sums = {RECORDS: _add_file(archive, RECORDS, records)}
            blobs = _add_blobs(archive, registry.stores[1], needs, progress)
            sums |= _add_beside(archive, beside, target, progress)
            end = End(
                contents=sum_of(sums),
                versions=len(needs.versions),
                blobs=blobs,
                files=len(sums) - 1,
            )
            _add(archive, END, msgspec.json.encode(end))
        file.flush()
        size = file.tell()
    detail = {"versions": end.versions, "contents": end.contents}
    tell(registry.trail, Entry(what="store.backup", detail=detail))
    return BackedUp(versions=end.versions, blobs=blobs, files=end.files, size_bytes=size)


def would_back_up(registry: Registry) -> BackedUp:
    """What a backup would hold now, without the files beside the registry's own."""
    store, blobs, _ = registry.stores
    needs = Needs()
    for line in store.dump():
        needs.read(line)
    mentioned = needs.mentioned & set(blobs.digests())
    _check(needs.required - mentioned)
    return BackedUp(versions=len(needs.versions), blobs=len(mentioned), files=0, size_bytes=0)


def _spool(registry: Registry, records: IO[bytes]) -> Needs:
    """Write all records to *records*, and tell what they need."""
    needs = Needs()
    for line in registry.stores[0].dump():
        needs.read(line)
        records.write(line + b"\n")
    return needs


def _add_blobs(archive: tarfile.TarFile, blobs: BlobStore, needs: Needs, progress: Progress) -> int:
    mentioned = sorted(needs.mentioned & set(blobs.digests()))
    _check(needs.required - set(mentioned))
    with progress.start("Copying files of versions", len(mentioned), "blobs") as task:
        for digest in mentioned:
            with blobs.open(digest) as blob:
                content = blob.read()
            if digest_of(content) != digest:
                raise DigestMismatch(
                    f"the blob {digest} is damaged (it reads {digest_of(content)})",
                    next_step="publish the same files again, then make the backup again; "
                    "`shipway doctor --thorough` tells which versions it is of",
                )
            _add(archive, BLOBS + hex_of(digest), content)
            task.advance()
    return len(mentioned)


def _check(missing: Set[str]) -> None:
    if missing:
        raise IntegrityError(
            f"{len(missing)} files of versions are not in the store, among them {min(missing)}",
            next_step="if versions were deleted and collected just now, make the backup again; "
            "otherwise `shipway doctor` tells which versions it is of",
        )


def _add_beside(
    archive: tarfile.TarFile, folder: Path | None, target: Path, progress: Progress
) -> dict[str, str]:
    """Add the files below *folder* that are not the registry's own; journals may grow meanwhile."""
    sums: dict[str, str] = {}
    if folder is None:
        return sums
    with progress.start("Copying events and labels", None, "files") as task:
        for path in _walk(folder, target):
            name = FILES + path.relative_to(folder).as_posix()
            # A journal that is gone became a segment, which is listed later.
            with suppress(FileNotFoundError), path.open("rb") as file:
                sums[name] = _add_file(archive, name, file)
            task.advance()
    return sums


def _walk(folder: Path, target: Path, *, top: bool = True) -> Iterator[Path]:
    """Regular files in the order of their names, each folder listed when its turn comes."""
    for path in sorted(folder.iterdir()):
        own = top and (path.name in _NOT_BESIDE or path.name.startswith("metadata.sqlite3"))
        if own or path.is_symlink() or path.name.startswith(".") or path.suffix in _PASSING:
            continue
        if path.is_dir():
            yield from _walk(path, target, top=False)
        elif path.is_file() and path.absolute() != target.absolute():
            yield path


def sum_of(sums: Mapping[str, str]) -> str:
    """One digest of the members that are not named by theirs, given each one's."""
    return digest_of(canonical_json(sums))


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    archive.addfile(_member(name, len(content)), io.BytesIO(content))


def _add_file(archive: tarfile.TarFile, name: str, file: IO[bytes]) -> str:
    """Add as much of *file* as there is now; the digest of it."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    hashed = _Hashed(file)
    archive.addfile(_member(name, size), hashed)
    return hashed.digest


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o600
    return member


class _Hashed:
    """A file that is hashed as it is read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._hash = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        data = self._file.read(size)
        self._hash.update(data)
        return data

    @property
    def digest(self) -> str:
        """The digest of what was read."""
        return f"sha256:{self._hash.hexdigest()}"
