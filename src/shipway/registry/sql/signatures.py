"""Signatures in the table ``signatures``."""

from __future__ import annotations

from sqlalchemy import Row, insert, select, tuple_

from shipway.domain.digests import digest_of
from shipway.registry.oci import IMAGE_TYPE, NOTHING, Descriptor
from shipway.registry.ports import BlobsWereUnneeded
from shipway.registry.records import SignatureRecord
from shipway.registry.sql.audit import note
from shipway.registry.sql.database import Database
from shipway.registry.sql.deletions import DELETED
from shipway.registry.sql.ledger import take_off
from shipway.registry.sql.seals import SEALED
from shipway.registry.sql.tables import SIGNATURES
from shipway.security.audit import Entry
from shipway.security.statements import BUNDLE_TYPE

_COLUMNS = SIGNATURES.c


class SqlSignatures:
    """A :class:`~shipway.registry.ports.SignatureLog`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def append(self, record: SignatureRecord, *, image: Descriptor) -> SignatureRecord:
        """See the port. Looking and adding are one transaction."""
        values = {
            "model": record.model,
            "number": record.number,
            "digest": record.digest,
            "identity": record.identity,
            "public_key": record.public_key,
            "size_bytes": record.size_bytes,
            "created_at": record.created_at,
            "created_by": record.created_by,
            "image_digest": image.digest,
            "image_size": image.size,
        }
        same = select(SIGNATURES).where(
            _COLUMNS.model == record.model,
            _COLUMNS.number == record.number,
            _COLUMNS.digest == record.digest,
        )
        needed = {record.digest, image.digest, digest_of(NOTHING)}
        with self._database.writing() as connection:
            put_again = take_off(connection, needed)
            row = connection.execute(same).one_or_none()
            if row is None and not put_again:
                row = connection.execute(insert(SIGNATURES).returning(SIGNATURES), [values]).one()
                detail = {"identity": record.identity, "digest": record.digest}
                told = Entry(
                    what="version.sign", object=f"{record.model}@{record.number}", detail=detail
                )
                note(connection, told, at=record.created_at)
        if row is None or put_again:
            raise BlobsWereUnneeded(f"some of {sorted(needed)}")
        return _record(row)

    def list(self, model: str, number: int) -> tuple[SignatureRecord, ...]:
        """See the port."""
        query = (
            select(SIGNATURES)
            .where(_COLUMNS.model == model, _COLUMNS.number == number)
            .order_by(_COLUMNS.created_at, _COLUMNS.digest)
        )
        with self._database.reading() as connection:
            return tuple(_record(row) for row in connection.execute(query))

    def images(self) -> tuple[Descriptor, ...]:
        """See the port."""
        of = tuple_(_COLUMNS.model, _COLUMNS.number)
        query = (
            select(_COLUMNS.image_digest, _COLUMNS.image_size)
            .where(of.not_in(DELETED), of.not_in(SEALED))
            .order_by(_COLUMNS.model, _COLUMNS.number, _COLUMNS.digest)
        )
        with self._database.reading() as connection:
            return tuple(
                Descriptor(
                    media_type=IMAGE_TYPE, digest=digest, size=size, artifact_type=BUNDLE_TYPE
                )
                for digest, size in connection.execute(query)
            )


def _record(row: Row[tuple[object, ...]]) -> SignatureRecord:
    values = row._mapping  # noqa: SLF001 - the public name of SQLAlchemy for a row as a mapping
    return SignatureRecord(
        model=values["model"],
        number=values["number"],
        identity=values["identity"],
        public_key=values["public_key"],
        digest=values["digest"],
        size_bytes=values["size_bytes"],
        created_at=values["created_at"],
        created_by=values["created_by"],
    )
