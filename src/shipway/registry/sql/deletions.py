"""Which versions were deleted, in the table ``version_changes``."""

from __future__ import annotations

from datetime import datetime

import msgspec
from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Table,
    exists,
    func,
    insert,
    or_,
    select,
    tuple_,
)

from shipway.registry.records import VersionChange
from shipway.registry.sql.audit import note
from shipway.registry.sql.database import Database
from shipway.registry.sql.tables import ENDPOINT_CHANGES, VERSION_CHANGES, VERSIONS
from shipway.security.audit import Entry

_COLUMNS = VERSION_CHANGES.c

DELETED = (
    select(_COLUMNS.model, _COLUMNS.number)
    .group_by(_COLUMNS.model, _COLUMNS.number)
    .having(func.max(_COLUMNS.sequence) % 2 == 1)
)
"""Model and number of the versions that are deleted now.

Deleting and bringing back alternate, so that an odd newest change is a deletion.
"""


def not_deleted(table: Table) -> ColumnElement[bool]:
    """The condition on *table* that leaves out what is of deleted versions."""
    return tuple_(table.c.model, table.c.number).not_in(DELETED)


NOT_DELETED = not_deleted(VERSIONS)
"""The condition on ``versions`` that leaves out the deleted ones."""


class SqlDeletions:
    """A :class:`~shipway.registry.ports.DeletionLog`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def delete(self, change: VersionChange) -> VersionChange | None:
        """See the port. That it never was live is asked in the transaction that deletes it."""
        with self._database.writing() as connection:
            if not _exists(connection, change.model, change.number):
                return None
            if is_deleted(connection, change.model, change.number) or _was_live(connection, change):
                return None
            return _append(connection, change)

    def list(self, model: str) -> tuple[VersionChange, ...]:
        """See the port."""
        query = select(VERSION_CHANGES).where(_COLUMNS.model == model)
        with self._database.reading() as connection:
            rows = connection.execute(query.order_by(_COLUMNS.number, _COLUMNS.sequence))
            return tuple(_change(row) for row in rows)


def is_deleted(connection: Connection, model: str, number: int) -> bool:
    """Whether version *number* of *model* is deleted now."""
    return _newest(connection, model, number) % 2 == 1


def bring_back(connection: Connection, model: str, number: int, *, by: str, now: datetime) -> None:
    """Undo the deletion of version *number*, if it is deleted, because it was published again."""
    if is_deleted(connection, model, number):
        change = VersionChange(
            model=model,
            number=number,
            sequence=0,
            action="restore",
            at=now,
            by=by,
            reason="published again",
        )
        _append(connection, change)


def _append(connection: Connection, change: VersionChange) -> VersionChange:
    sequence = _newest(connection, change.model, change.number) + 1
    values = {
        "model": change.model,
        "number": change.number,
        "sequence": sequence,
        "action": change.action,
        "changed_at": change.at,
        "changed_by": change.by,
        "reason": change.reason,
    }
    connection.execute(insert(VERSION_CHANGES), [values])
    told = Entry(what=f"version.{change.action}", object=f"{change.model}@{change.number}")
    note(connection, told, at=change.at)
    return msgspec.structs.replace(change, sequence=sequence)


def _newest(connection: Connection, model: str, number: int) -> int:
    newest = select(func.max(_COLUMNS.sequence))
    one = newest.where(_COLUMNS.model == model, _COLUMNS.number == number)
    return connection.execute(one).scalar_one() or 0


def _exists(connection: Connection, model: str, number: int) -> bool:
    one = exists().where(VERSIONS.c.model == model, VERSIONS.c.number == number)
    return bool(connection.execute(select(one)).scalar_one())


def _was_live(connection: Connection, change: VersionChange) -> bool:
    moved = ENDPOINT_CHANGES.c
    named = or_(moved.live == change.number, moved.before == change.number)
    one = exists().where(moved.model == change.model, named)
    return bool(connection.execute(select(one)).scalar_one())


def _change(row: Row[tuple[object, ...]]) -> VersionChange:
    values = row._mapping  # noqa: SLF001 - the public name of SQLAlchemy for a row as a mapping
    return VersionChange(
        model=values["model"],
        number=values["number"],
        sequence=values["sequence"],
        action=values["action"],
        at=values["changed_at"],
        by=values["changed_by"],
        reason=values["reason"],
    )
