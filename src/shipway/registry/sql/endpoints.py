"""The changes of endpoints in the table ``endpoint_changes``."""

from __future__ import annotations

from sqlalchemy import Connection, Row, func, insert, select

from shipway.registry.records import EndpointChange
from shipway.registry.sql.audit import note
from shipway.registry.sql.database import Database
from shipway.registry.sql.deletions import is_deleted
from shipway.registry.sql.revision import raise_revision
from shipway.registry.sql.tables import ENDPOINT_CHANGES
from shipway.security.audit import Entry

_COLUMNS = ENDPOINT_CHANGES.c


class SqlEndpoints:
    """A :class:`~shipway.registry.ports.EndpointLog`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def append(self, change: EndpointChange) -> bool:
        """See the port. Comparing and adding are one transaction."""
        values = {
            "endpoint": change.endpoint,
            "sequence": change.sequence,
            "model": change.model,
            "action": change.action,
            "before": change.before,
            "live": change.live,
            "changed_at": change.at,
            "changed_by": change.by,
            "reason": change.reason,
            "evidence": change.evidence,
            "forced": change.forced,
        }
        with self._database.writing() as connection:
            if change.sequence != _newest(connection, change.endpoint) + 1:
                return False
            if is_deleted(connection, change.model, change.live):
                return False
            connection.execute(insert(ENDPOINT_CHANGES), [values])
            raise_revision(connection)
            note(connection, _told(change), at=change.at)
        return True

    def last(self, endpoint: str) -> EndpointChange | None:
        """See the port."""
        query = (
            select(ENDPOINT_CHANGES)
            .where(_COLUMNS.endpoint == endpoint)
            .order_by(_COLUMNS.sequence.desc())
            .limit(1)
        )
        with self._database.reading() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else _change(row)

    def history(self, endpoint: str) -> tuple[EndpointChange, ...]:
        """See the port."""
        query = select(ENDPOINT_CHANGES).where(_COLUMNS.endpoint == endpoint)
        with self._database.reading() as connection:
            rows = connection.execute(query.order_by(_COLUMNS.sequence))
            return tuple(_change(row) for row in rows)

    def names(self) -> tuple[str, ...]:
        """See the port."""
        query = select(_COLUMNS.endpoint).distinct().order_by(_COLUMNS.endpoint)
        with self._database.reading() as connection:
            return tuple(connection.execute(query).scalars())


def _told(change: EndpointChange) -> Entry:
    """The change as the audit log has it: without the reason, which is in somebody's own words."""
    names = ("model", "before", "live", "sequence", "evidence", "forced")
    detail = {name: getattr(change, name) for name in names}
    return Entry(what=f"endpoint.{change.action}", object=change.endpoint, detail=detail)


def _newest(connection: Connection, endpoint: str) -> int:
    query = select(func.max(_COLUMNS.sequence)).where(_COLUMNS.endpoint == endpoint)
    return connection.execute(query).scalar_one() or 0


def _change(row: Row[tuple[object, ...]]) -> EndpointChange:
    values = row._mapping  # noqa: SLF001 - the public name of SQLAlchemy for a row as a mapping
    return EndpointChange(
        endpoint=values["endpoint"],
        model=values["model"],
        sequence=values["sequence"],
        action=values["action"],
        before=values["before"],
        live=values["live"],
        at=values["changed_at"],
        by=values["changed_by"],
        reason=values["reason"],
        evidence=values["evidence"],
        forced=values["forced"],
    )
