"""What waits to be told to the audit log, and where each log ends.

A change notes what it is in the transaction that makes it, so that none is made without; the
log's own lines are written afterwards, and what is noted is let go when they are on the platter.
"""

from __future__ import annotations

from datetime import datetime

import msgspec
from sqlalchemy import Connection, delete, insert, select, update

from shipway.domain.times import iso
from shipway.registry.ports import WriteLines
from shipway.registry.sql.database import Database
from shipway.registry.sql.tables import AUDIT_HEADS, AUDIT_NOTED
from shipway.security.acting import actor_now
from shipway.security.audit import Entry, Head, Noted

_HEADS = AUDIT_HEADS.c


def note(connection: Connection, entry: Entry, *, at: datetime) -> None:
    """Note within the transaction of a change what it is; who acts now did it."""
    told = msgspec.structs.replace(entry, detail={**entry.detail, "at": iso(at)})
    noted = msgspec.json.encode(Noted(actor=actor_now(), entry=told)).decode()
    connection.execute(insert(AUDIT_NOTED), [{"noted": noted}])


class SqlAudit:
    """A :class:`~shipway.registry.ports.AuditRecords`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def settle(self, chain: str, write: WriteLines) -> None:
        """See the port. Nobody notes anything while *write* is at work."""
        ours = _HEADS.chain == chain
        with self._database.writing() as connection:
            rows = connection.execute(select(AUDIT_NOTED).order_by(AUDIT_NOTED.c.id)).all()
            known = connection.execute(select(AUDIT_HEADS).where(ours)).one_or_none()
            before = None if known is None else Head(*known)
            after = write(before, [msgspec.json.decode(row[1], type=Noted) for row in rows])
            if after is None:
                return
            values = msgspec.structs.asdict(after)
            if before is None:
                connection.execute(insert(AUDIT_HEADS), [values])
            else:
                connection.execute(update(AUDIT_HEADS).where(ours).values(values))
            if rows:
                connection.execute(delete(AUDIT_NOTED).where(AUDIT_NOTED.c.id <= rows[-1][0]))

    def heads(self) -> tuple[Head, ...]:
        """See the port."""
        with self._database.reading() as connection:
            rows = connection.execute(select(AUDIT_HEADS).order_by(_HEADS.chain))
            return tuple(Head(*row) for row in rows)
