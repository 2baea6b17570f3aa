"""The whole of the records, over one database."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import func, select

from shipway.registry.sql.audit import SqlAudit
from shipway.registry.sql.database import Database
from shipway.registry.sql.deletions import SqlDeletions
from shipway.registry.sql.dump import dump
from shipway.registry.sql.endpoints import SqlEndpoints
from shipway.registry.sql.evidence import SqlEvidence
from shipway.registry.sql.keys import SqlKeys
from shipway.registry.sql.ledger import SqlLedger
from shipway.registry.sql.revision import read_revision
from shipway.registry.sql.seals import SqlSeals
from shipway.registry.sql.signatures import SqlSignatures
from shipway.registry.sql.tables import SEALS, SIGNATURES, VERSION_CHANGES, VERSIONS
from shipway.registry.sql.versions import SqlVersions


class SqlMetadata:
    """A :class:`~shipway.registry.ports.MetadataStore` in *database*, which it closes."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.versions = SqlVersions(database)
        self.deletions = SqlDeletions(database)
        self.ledger = SqlLedger(database)
        self.seals = SqlSeals(database)
        self.signatures = SqlSignatures(database)
        self.evidence = SqlEvidence(database)
        self.endpoints = SqlEndpoints(database)
        self.keys = SqlKeys(database)
        self.audit = SqlAudit(database)

    def edition(self) -> str:
        """See the port. Nothing is ever taken out of these tables, so that counting is enough."""
        tables = (VERSIONS, VERSION_CHANGES, SIGNATURES, SEALS)
        counts = [select(func.count()).select_from(table).scalar_subquery() for table in tables]
        with self._database.reading() as connection:
            return ".".join(map(str, connection.execute(select(*counts)).one()))

    def revision(self) -> int:
        """See the port."""
        with self._database.reading() as connection:
            return read_revision(connection)

    def dump(self) -> Iterator[bytes]:
        """See the port."""
        return dump(self._database)

    def close(self) -> None:
        """See the port."""
        self._database.close()
