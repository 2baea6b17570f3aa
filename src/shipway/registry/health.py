"""Whether a store is well: what ``doctor`` says about it. It mends nothing."""

from __future__ import annotations

import shutil
import sqlite3
import stat
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path

import msgspec

from shipway.domain.digests import digest_of
from shipway.errors import ShipwayError
from shipway.registry.addresses import IN_FOLDER, Addresses
from shipway.registry.current import METADATA_FILE, blobs_of, database_of
from shipway.registry.needs import Needs
from shipway.registry.oci import index_bytes
from shipway.registry.opened_folder import kind_of
from shipway.registry.ports import BlobStore
from shipway.registry.records import summary_of
from shipway.registry.signing import listed_images
from shipway.registry.sql.schema import HEAD, newer_store, schema_of
from shipway.registry.sql.sqlite import has_wal_race, quick_check
from shipway.registry.sql.store import SqlMetadata

_LITTLE_SPACE_BYTES = 1 << 30
_NETWORK = frozenset({"9p", "cifs", "fuse.sshfs", "glusterfs", "nfs", "nfs4", "smb3", "smbfs"})
_BACKUP = "restore the store from a backup"


class Level(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at; ``next_step`` is "" when there is nothing to do."""

    level: Level
    code: str
    message: str
    next_step: str = ""


def store_health(
    home: Path, addresses: Addresses = IN_FOLDER, *, thorough: bool = False
) -> tuple[Finding, ...]:
    """What there is to say about the store in *home*, each thing that was looked at once.

    With *thorough* every blob is read and hashed; without, only looked for.
    """
    home = home.absolute()
    findings: list[Finding] = []
    if not addresses.records:
        findings.append(sqlite_finding(sqlite3.sqlite_version_info))
        if not (home / METADATA_FILE).is_file():
            message, step = f"there is no store in {home} yet", "begin one with `shipway init`"
            return (*findings, _found(Level.WARNING, "store.absent", message, step))
    if home.is_dir():
        findings += _folder_findings(home)
    if not addresses.records:
        findings.append(_file_finding(home / METADATA_FILE))
        if findings[-1].level is not Level.OK:
            return tuple(findings)
    try:
        findings += _record_findings(home, addresses, thorough=thorough)
    except ShipwayError as error:
        findings.append(_found(Level.ERROR, error.code, error.message, error.next_step))
    return tuple(findings)


def sqlite_finding(version: tuple[int, ...]) -> Finding:
    """What to know about SQLite *version*."""
    name = "SQLite " + ".".join(map(str, version))
    if not has_wal_race(version):
        return _found(Level.OK, "store.sqlite", name)
    return _found(
        Level.WARNING,
        "store.sqlite-wal-race",
        f"{name} can lose a transaction when two programs write at once (fixed in 3.51.3); "
        "Shipway's own writers queue and are safe from it",
        "let no other program write to the store; use a Python with a newer SQLite when you can",
    )


def _folder_findings(home: Path) -> Iterator[Finding]:
    if home.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        message = f"others on this machine can look into {home}"
        yield _found(Level.WARNING, "store.open-to-others", message, f"chmod 700 {home}")
    kind = kind_of(home)
    if kind in _NETWORK:
        message = f"{home} is on a network file system ({kind}), whose locks may not hold"
        step = "move the store to a local disk and set SHIPWAY_HOME"
        yield _found(Level.WARNING, "store.network-folder", message, step)
    free = shutil.disk_usage(home).free
    level = Level.WARNING if free < _LITTLE_SPACE_BYTES else Level.OK
    step = "free some space before publishing" if free < _LITTLE_SPACE_BYTES else ""
    yield _found(level, "store.space", f"{free / (1 << 30):.1f} GiB are free in {home}", step)


def _file_finding(path: Path) -> Finding:
    answer = quick_check(path)
    if answer == "ok":
        return _found(Level.OK, "store.records", f"{path} is sound")
    step = f"set it aside and {_BACKUP}"
    return _found(Level.ERROR, "store.records-damaged", f"{path} is damaged: {answer}", step)


def _record_findings(home: Path, addresses: Addresses, *, thorough: bool) -> Iterator[Finding]:
    where = addresses.told.records or str(home / METADATA_FILE)
    database = database_of(home, addresses)
    store = SqlMetadata(database)
    try:
        with database.reading() as connection:
            schema = schema_of(connection)
        if addresses.records:
            yield _found(Level.OK, "store.records", f"{where} answers")
        if schema is not None and schema > HEAD:
            raise newer_store(where, schema)
        if schema != HEAD:
            message = f"the store is of schema {schema or 'none'}, before {HEAD}"
            step = "the next command that opens it brings it up to date"
            yield _found(Level.WARNING, "store.older", message, step)
            return
        blobs = blobs_of(home, addresses)
        yield from _blob_findings(store, blobs, thorough=thorough)
        if blobs.read_index() != index_bytes(listed_images(store), store.edition()):
            message = f"the index.json of {blobs.where} does not list every version"
            step = "the next publish writes it anew"
            yield _found(Level.WARNING, "store.index-stale", message, step)
    finally:
        store.close()


def _blob_findings(store: SqlMetadata, blobs: BlobStore, *, thorough: bool) -> Iterator[Finding]:
    count = 0
    for model in store.versions.models():
        versions = store.versions.list(model)
        if tuple(summary_of(version) for version in versions) != store.versions.summaries(model):
            message = f"{model}: the list of its versions is not what their manifests say"
            yield _found(Level.ERROR, "store.list-differs", message, _BACKUP)
        for version in versions:
            count += 1
            kept = store.seals.list(model, version.number) or version.manifest.files
            named = {entry.path: entry.digest for entry in kept}
            for path, digest in {**named, "its manifest": version.digest}.items():
                if fault := _blob_fault(blobs, digest, thorough=thorough):
                    message = f"{version.ref}: {path} {fault}"
                    step = f"publish the same files again, or {_BACKUP}"
                    yield _found(Level.ERROR, "store.blob-damaged", message, step)
            for signature in store.signatures.list(model, version.number):
                if fault := _blob_fault(blobs, signature.digest, thorough=thorough):
                    message = f"{version.ref}: the signature by {signature.identity} {fault}"
                    step = f"sign it again, or {_BACKUP}"
                    yield _found(Level.ERROR, "store.blob-damaged", message, step)
    verb = "hashed" if thorough else "looked for"
    message = f"the files of {count} versions were {verb}"
    yield _found(Level.OK, "store.versions", message)
    needs = Needs()
    for line in store.dump():
        needs.read(line)
    if unneeded := len(set(blobs.digests()) - needs.mentioned):
        message = f"{unneeded} stored files are of no version and in no record"
        yield _found(Level.OK, "store.unneeded", message, "remove them with `shipway gc`")


def _blob_fault(blobs: BlobStore, digest: str, *, thorough: bool) -> str:
    if not blobs.has(digest):
        return "is missing from the store"
    if thorough:
        with blobs.open(digest) as blob:
            found = digest_of(blob.read())
        if found != digest:
            return f"differs from its manifest (expected {digest}, got {found})"
    return ""


def _found(level: Level, code: str, message: str, next_step: str = "") -> Finding:
    return Finding(level=level, code=code, message=message, next_step=next_step)
