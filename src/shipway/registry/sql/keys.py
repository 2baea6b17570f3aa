"""API keys in the table ``keys``."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Row, insert, select, update

from shipway.domain.times import iso
from shipway.registry.sql.audit import note
from shipway.registry.sql.database import Database
from shipway.registry.sql.revision import raise_revision
from shipway.registry.sql.tables import KEYS
from shipway.security.audit import Entry
from shipway.security.keys import KeyRecord
from shipway.security.policy import Scope

_COLUMNS = KEYS.c


class SqlKeys:
    """A :class:`~shipway.registry.ports.KeyLog`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def append(self, record: KeyRecord) -> None:
        """See the port."""
        values = {
            "id": record.id,
            "digest": record.digest,
            "name": record.name,
            "scopes": " ".join(record.scopes),
            "created_at": record.created_at,
            "expires_at": record.expires_at,
            "revoked_at": record.revoked_at,
        }
        with self._database.writing() as connection:
            connection.execute(insert(KEYS), [values])
            raise_revision(connection)
            detail = {"scopes": list(record.scopes), "expires_at": iso(record.expires_at)}
            told = Entry(what="key.create", object=record.id, detail=detail)
            note(connection, told, at=record.created_at)

    def revoke(self, key_id: str, now: datetime) -> KeyRecord | None:
        """See the port."""
        good = update(KEYS).where(_COLUMNS.id == key_id, _COLUMNS.revoked_at.is_(None))
        with self._database.writing() as connection:
            if connection.execute(good.values(revoked_at=now)).rowcount:
                raise_revision(connection)
                note(connection, Entry(what="key.revoke", object=key_id), at=now)
            row = connection.execute(select(KEYS).where(_COLUMNS.id == key_id)).one_or_none()
        return None if row is None else _record(row)

    def list(self) -> tuple[KeyRecord, ...]:
        """See the port."""
        query = select(KEYS).order_by(_COLUMNS.created_at, _COLUMNS.id)
        with self._database.reading() as connection:
            return tuple(_record(row) for row in connection.execute(query))


def _record(row: Row[tuple[object, ...]]) -> KeyRecord:
    values = row._mapping  # noqa: SLF001 - the public name of SQLAlchemy for a row as a mapping
    return KeyRecord(
        id=values["id"],
        digest=values["digest"],
        scopes=tuple(Scope(scope) for scope in values["scopes"].split()),
        name=values["name"],
        created_at=values["created_at"],
        expires_at=values["expires_at"],
        revoked_at=values["revoked_at"],
    )
