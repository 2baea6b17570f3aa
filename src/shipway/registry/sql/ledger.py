"""The blobs that no record needs, in the table ``unneeded_blobs``.

A row stays when its blob is removed: whoever found the blob in place before that, and appends
only now, must learn of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from datetime import datetime

from sqlalchemy import Connection, Text, delete, insert, literal, select, tuple_

from shipway.domain.digests import digest_of
from shipway.registry.oci import NOTHING
from shipway.registry.sql.database import Database
from shipway.registry.sql.deletions import NOT_DELETED, not_deleted
from shipway.registry.sql.seals import SEALED
from shipway.registry.sql.tables import (
    AUDIT_HEADS,
    AUDIT_NOTED,
    KEYS,
    METADATA,
    SEALS,
    SIGNATURES,
    UNNEEDED_BLOBS,
    VERSION_CHANGES,
    VERSION_SUMMARIES,
    VERSIONS,
)

_COLUMNS = UNNEEDED_BLOBS.c
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)
_STILL_HERE = select(literal(1))
_BATCH = 500  # SQLite takes 999 values in a statement at least
_IS_SEALED = tuple_(VERSIONS.c.model, VERSIONS.c.number).in_(SEALED)
_MENTION_NO_BLOB = frozenset(
    {AUDIT_HEADS, AUDIT_NOTED, KEYS, UNNEEDED_BLOBS, VERSION_CHANGES, VERSION_SUMMARIES}
)


class SqlLedger:
    """A :class:`~shipway.registry.ports.BlobLedger`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def note(
        self, kept: Iterable[str], now: datetime, *, dry_run: bool = False
    ) -> dict[str, datetime]:
        """See the port."""
        found = set(kept)
        with self._database.reading() if dry_run else self._database.writing() as connection:
            unneeded = found - _mentioned(connection)
            noted = {row.digest: row.since for row in connection.execute(select(UNNEEDED_BLOBS))}
            if dry_run:
                return {digest: noted.get(digest, now) for digest in sorted(unneeded)}
            take_off(connection, (noted.keys() & found) - unneeded)
            fresh = [{"digest": each, "since": now} for each in sorted(unneeded - noted.keys())]
            if fresh:
                connection.execute(insert(UNNEEDED_BLOBS), fresh)
        return {digest: noted.get(digest, now) for digest in sorted(unneeded)}

    def sweep(self, digests: Sequence[str], remove: Callable[[str], None]) -> None:
        """See the port: the transaction writes nothing, it keeps everybody from appending.

        Before each removal it is asked whether it still does: a database that lost sight of us
        has ended it, and somebody else may be appending.
        """
        with self._database.writing() as connection:
            for digest in list(_noted(connection, digests)):
                connection.execute(_STILL_HERE)
                remove(digest)


def take_off(connection: Connection, digests: Set[str]) -> bool:
    """Take *digests* off the list; whether any was on it.

    Whoever makes a record that needs blobs calls this in the transaction that makes it, and on
    True puts them again and starts anew.
    """
    found = list(_noted(connection, sorted(digests)))
    for some in _parted(found):
        connection.execute(delete(UNNEEDED_BLOBS).where(_COLUMNS.digest.in_(some)))
    return bool(found)


def _noted(connection: Connection, digests: Sequence[str]) -> Iterator[str]:
    for some in _parted(digests):
        query = select(_COLUMNS.digest).where(_COLUMNS.digest.in_(some)).order_by(_COLUMNS.digest)
        yield from connection.execute(query).scalars().all()


def _parted(digests: Sequence[str]) -> Iterator[Sequence[str]]:
    return (digests[at : at + _BATCH] for at in range(0, len(digests), _BATCH))


def _mentioned(connection: Connection) -> set[str]:
    """Every digest that a record names anywhere, but for those of deleted versions alone.

    Of an encrypted version the files count as they are encrypted, and not as its manifest has them.
    Otherwise it keeps too much rather than too little: a table that a later release adds is read
    as well, and the signatures of a deleted version stay, for it may be published again.
    """
    sealed = select(VERSIONS.c.digest, VERSIONS.c.image_digest).where(NOT_DELETED, _IS_SEALED)
    found = {digest for row in connection.execute(sealed) for digest in row}
    for table in METADATA.sorted_tables:
        texts = [column for column in table.c if isinstance(column.type, Text)]
        if table in _MENTION_NO_BLOB or not texts:
            continue
        query = select(*texts)
        if table is VERSIONS:
            query = query.where(NOT_DELETED, ~_IS_SEALED)
        elif table is SEALS:
            query = query.where(not_deleted(SEALS))
        for row in connection.execute(query):
            for text in row:
                found.update(_DIGEST.findall(text or ""))
            if table is SIGNATURES:
                found.add(digest_of(NOTHING))
    return found
