"""How versions are encrypted, in the table ``seals``."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, delete, insert, select, update

from shipway.registry.records import Seal
from shipway.registry.sql.audit import note
from shipway.registry.sql.database import Database
from shipway.registry.sql.tables import SEALS, VERSIONS
from shipway.security.audit import Entry

_COLUMNS = SEALS.c
_SHOWN = (
    _COLUMNS.path,
    _COLUMNS.digest,
    _COLUMNS.size_bytes,
    _COLUMNS.key,
    _COLUMNS.recipients,
)

SEALED = select(_COLUMNS.model, _COLUMNS.number).distinct()
"""Model and number of the versions that are encrypted."""


class SqlSeals:
    """A :class:`~shipway.registry.ports.SealLog`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, model: str, digest: str) -> tuple[Seal, ...]:
        """See the port."""
        same = (VERSIONS.c.model == _COLUMNS.model) & (VERSIONS.c.number == _COLUMNS.number)
        query = (
            select(*_SHOWN)
            .join(VERSIONS, same)
            .where(VERSIONS.c.model == model, VERSIONS.c.digest == digest)
        )
        with self._database.reading() as connection:
            return tuple(_seal(*row) for row in connection.execute(query.order_by(_COLUMNS.path)))

    def list(self, model: str, number: int) -> tuple[Seal, ...]:
        """See the port."""
        with self._database.reading() as connection:
            return seals_of(connection, model, number)

    def rewrap(self, model: str, number: int, seals: Sequence[Seal], now: datetime) -> int:
        """See the port."""
        kept = 0
        with self._database.writing() as connection:
            for seal in seals:
                same = (_COLUMNS.path == seal.path) & (_COLUMNS.digest == seal.digest)
                found = connection.execute(
                    update(SEALS)
                    .where(_COLUMNS.model == model, _COLUMNS.number == number, same)
                    .values(key=seal.key, recipients=" ".join(seal.recipients))
                )
                kept += found.rowcount
            if kept:
                detail = {"files": kept, "recipients": sorted({*seals[0].recipients})}
                told = Entry(what="version.rewrap", object=f"{model}@{number}", detail=detail)
                note(connection, told, at=now)
        return kept


def seals_of(connection: Connection, model: str, number: int) -> tuple[Seal, ...]:
    """The seals of one version, by path."""
    query = select(*_SHOWN).where(_COLUMNS.model == model, _COLUMNS.number == number)
    return tuple(_seal(*row) for row in connection.execute(query.order_by(_COLUMNS.path)))


def seal_in(
    connection: Connection, model: str, number: int, seals: Sequence[Seal], *, now: datetime
) -> None:
    """Put *seals* in the place of what the version has, and note it unless it has them already."""
    if not seals or seals_of(connection, model, number) == tuple(
        sorted(seals, key=lambda seal: seal.path)
    ):
        return
    own = (_COLUMNS.model == model) & (_COLUMNS.number == number)
    connection.execute(delete(SEALS).where(own))
    rows = [
        {
            "model": model,
            "number": number,
            "path": seal.path,
            "digest": seal.digest,
            "size_bytes": seal.size_bytes,
            "key": seal.key,
            "recipients": " ".join(seal.recipients),
        }
        for seal in seals
    ]
    connection.execute(insert(SEALS), rows)
    detail = {"files": len(rows), "recipients": sorted(seals[0].recipients)}
    note(connection, Entry(what="version.seal", object=f"{model}@{number}", detail=detail), at=now)


def _seal(path: str, digest: str, size_bytes: int, key: str, recipients: str) -> Seal:
    return Seal(
        path=path,
        digest=digest,
        size_bytes=size_bytes,
        key=key,
        recipients=tuple(recipients.split()),
    )
