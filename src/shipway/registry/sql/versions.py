"""Versions in the table ``versions``."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec
from sqlalchemy import Row, func, insert, select, tuple_

from shipway.domain.digests import digest_of
from shipway.errors import DigestMismatch, IntegrityError
from shipway.registry.oci import IMAGE_TYPE, Descriptor, annotated
from shipway.registry.ports import BlobsWereUnneeded
from shipway.registry.records import Manifest, Seal, Version, VersionSummary, summary_of
from shipway.registry.sql.audit import note
from shipway.registry.sql.database import Database
from shipway.registry.sql.deletions import NOT_DELETED, bring_back, not_deleted
from shipway.registry.sql.ledger import take_off
from shipway.registry.sql.seals import SEALED, seal_in, seals_of
from shipway.registry.sql.tables import VERSION_SUMMARIES, VERSIONS
from shipway.security.audit import Entry

_MANIFEST = msgspec.json.Decoder(Manifest)
_COLUMNS = VERSIONS.c
_SUMMARY = [column for column in VERSION_SUMMARIES.c if column.name != "model"]
_NOT_DELETED = not_deleted(VERSION_SUMMARIES)
_PLAIN = tuple_(_COLUMNS.model, _COLUMNS.number).not_in(SEALED)


class SqlVersions:
    """A :class:`~shipway.registry.ports.VersionLog`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def append(
        self,
        manifest: Manifest,
        *,
        content: bytes,
        digest: str,
        image: Descriptor,
        by: str,
        now: datetime,
        first: int = 1,
        seals: Sequence[Seal] = (),
    ) -> Version:
        """See the port. The number is taken and used within one transaction, so none is lost."""
        model = manifest.model
        same = select(VERSIONS).where(_COLUMNS.model == model, _COLUMNS.digest == digest)
        newest = select(func.max(_COLUMNS.number)).where(_COLUMNS.model == model)
        with self._database.writing() as connection:
            row = connection.execute(same).one_or_none()
            # Somebody may have encrypted meanwhile what is published plain here.
            sealed = seals or (() if row is None else seals_of(connection, model, row.number))
            needed = {digest, image.digest, *(one.digest for one in sealed or manifest.files)}
            put_again = take_off(connection, needed)
            if row is not None and not put_again:
                bring_back(connection, model, row.number, by=by, now=now)
            elif row is None and not put_again:
                number = (connection.execute(newest).scalar_one() or first - 1) + 1
                values = {
                    "model": model,
                    "number": number,
                    "digest": digest,
                    "created_at": now,
                    "created_by": by,
                    "manifest": content.decode(),
                    "image_digest": image.digest,
                    "image_size": image.size,
                }
                connection.execute(insert(VERSIONS), [values])
                row = connection.execute(same).one()
                connection.execute(insert(VERSION_SUMMARIES), [_shown(_version(row))])
                found = f"{model}@{number}"
                told = Entry(what="version.publish", object=found, detail={"digest": digest})
                note(connection, told, at=now)
            if row is not None and not put_again:
                seal_in(connection, model, row.number, seals, now=now)
        if row is None or put_again:
            raise BlobsWereUnneeded(f"some of {sorted(needed)}")
        return _version(row)

    def get(self, model: str, number: int) -> Version | None:
        """See the port."""
        query = select(VERSIONS).where(
            _COLUMNS.model == model, _COLUMNS.number == number, NOT_DELETED
        )
        with self._database.reading() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else _version(row)

    def list(self, model: str) -> tuple[Version, ...]:
        """See the port."""
        query = select(VERSIONS).where(_COLUMNS.model == model, NOT_DELETED)
        with self._database.reading() as connection:
            rows = connection.execute(query.order_by(_COLUMNS.number))
            return tuple(_version(row) for row in rows)

    def summaries(self, model: str) -> tuple[VersionSummary, ...]:
        """See the port."""
        query = select(*_SUMMARY).where(VERSION_SUMMARIES.c.model == model, _NOT_DELETED)
        with self._database.reading() as connection:
            rows = connection.execute(query.order_by(VERSION_SUMMARIES.c.number))
            return tuple(VersionSummary(*row) for row in rows)

    def models(self) -> dict[str, int]:
        """See the port."""
        query = select(_COLUMNS.model, func.max(_COLUMNS.number)).where(NOT_DELETED)
        with self._database.reading() as connection:
            grouped = query.group_by(_COLUMNS.model).order_by(_COLUMNS.model)
            rows = connection.execute(grouped)
            return {str(model): int(number) for model, number in rows}

    def images(self) -> tuple[Descriptor, ...]:
        """See the port."""
        columns = (
            _COLUMNS.model,
            _COLUMNS.number,
            _COLUMNS.created_at,
            _COLUMNS.image_digest,
            _COLUMNS.image_size,
        )
        query = (
            select(*columns).where(NOT_DELETED, _PLAIN).order_by(_COLUMNS.model, _COLUMNS.number)
        )
        with self._database.reading() as connection:
            return tuple(
                annotated(
                    Descriptor(media_type=IMAGE_TYPE, digest=image_digest, size=image_size),
                    model=model,
                    number=number,
                    created_at=created_at,
                )
                for model, number, created_at, image_digest, image_size in connection.execute(query)
            )


def _shown(version: Version) -> dict[str, object]:
    """The row of ``version_summaries`` that goes with *version*."""
    told = msgspec.structs.asdict(summary_of(version))
    return {"model": version.model, "commit_id": told.pop("commit"), **told}


def _version(row: Row[tuple[object, ...]]) -> Version:
    """The version of *row*, whose manifest must still be what its digest says."""
    values = row._mapping  # noqa: SLF001 - the public name of SQLAlchemy for a row as a mapping
    ref = f"{values['model']}@{values['number']}"
    content = str(values["manifest"]).encode()
    if digest_of(content) != values["digest"]:
        raise DigestMismatch(
            f"{ref}: its manifest differs from its digest "
            f"(expected {values['digest']}, got {digest_of(content)})",
            next_step="restore the store from a backup; the version stays blocked until then",
        )
    try:
        manifest = _MANIFEST.decode(content)
    except msgspec.ValidationError as error:
        raise IntegrityError(
            f"{ref}: its manifest cannot be read: {error}",
            next_step="upgrade with `pip install --upgrade shipway`: a newer one may have made it",
        ) from error
    return Version(
        model=values["model"],
        number=values["number"],
        digest=values["digest"],
        created_at=values["created_at"],
        created_by=values["created_by"],
        manifest=manifest,
    )
