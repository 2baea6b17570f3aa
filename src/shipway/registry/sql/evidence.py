"""Evidence in the table ``evidence``."""

from __future__ import annotations

from datetime import datetime

import msgspec
from sqlalchemy import Row, func, insert, select

from shipway.domain.digests import canonical_json
from shipway.registry.records import EvidenceRecord
from shipway.registry.sql.audit import note
from shipway.registry.sql.database import Database
from shipway.registry.sql.tables import EVIDENCE
from shipway.security.audit import Entry

_BODY = msgspec.json.Decoder(dict[str, object])
_COLUMNS = EVIDENCE.c


class SqlEvidence:
    """A :class:`~shipway.registry.ports.EvidenceLog`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def append(
        self,
        *,
        model: str,
        number: int,
        kind: str,
        verdict: str,
        body: dict[str, object],
        now: datetime,
    ) -> EvidenceRecord:
        """See the port."""
        values = {
            "model": model,
            "number": number,
            "kind": kind,
            "verdict": verdict,
            "created_at": now,
            "body": canonical_json(body).decode(),
        }
        statement = insert(EVIDENCE).values(values).returning(EVIDENCE)
        with self._database.writing() as connection:
            row = connection.execute(statement).one()
            detail = {"verdict": verdict, "evidence": row[0]}
            told = Entry(what=f"version.{kind}", object=f"{model}@{number}", detail=detail)
            note(connection, told, at=now)
        return _record(row)

    def get(self, record_id: int) -> EvidenceRecord | None:
        """See the port."""
        query = select(EVIDENCE).where(_COLUMNS.id == record_id)
        with self._database.reading() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else _record(row)

    def list(self, model: str, number: int) -> tuple[EvidenceRecord, ...]:
        """See the port."""
        query = select(EVIDENCE).where(_COLUMNS.model == model, _COLUMNS.number == number)
        with self._database.reading() as connection:
            rows = connection.execute(query.order_by(_COLUMNS.id))
            return tuple(_record(row) for row in rows)

    def verdicts(self, model: str, kind: str) -> dict[int, str]:
        """See the port."""
        of_kind = (_COLUMNS.model == model, _COLUMNS.kind == kind)
        newest = select(func.max(_COLUMNS.id)).where(*of_kind).group_by(_COLUMNS.number)
        query = select(_COLUMNS.number, _COLUMNS.verdict).where(_COLUMNS.id.in_(newest))
        with self._database.reading() as connection:
            return {int(number): str(told) for number, told in connection.execute(query)}


def _record(row: Row[tuple[object, ...]]) -> EvidenceRecord:
    values = row._mapping  # noqa: SLF001 - the public name of SQLAlchemy for a row as a mapping
    return EvidenceRecord(
        id=values["id"],
        model=values["model"],
        number=values["number"],
        kind=values["kind"],
        verdict=values["verdict"],
        created_at=values["created_at"],
        body=_BODY.decode(values["body"]),
    )
