"""What the record tables need of a database: transactions to read in and to write in."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

from sqlalchemy import Connection


class Database(Protocol):
    """One database. Its errors come out as StoreError that names where it is."""

    def reading(self) -> AbstractContextManager[Connection]:
        """A transaction that sees one state of the database."""

    def writing(self) -> AbstractContextManager[Connection]:
        """The one transaction that may write now: committed at the end, durable after it.

        What it reads, nobody changes until then. An exception within rolls everything back.
        """

    def close(self) -> None:
        """Close all connections."""
