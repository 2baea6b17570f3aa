"""Where stores are kept in tests: in a folder, in PostgreSQL, in S3, and in both of these."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from tests.databases import Postgres
from tests.objects import ObjectStorage

from shipway.registry.addresses import Addresses

FLAGS = {
    "folder": (False, False),
    "postgresql": (True, False),
    "s3": (False, True),
    "postgresql and s3": (True, True),
}


@dataclass
class Places:
    """Where stores are made: each one is new and empty."""

    request: pytest.FixtureRequest
    kind: str

    def fresh(self, kind: str | None = None) -> Addresses:
        """Addresses of this kind, or of another."""
        records, blobs = FLAGS[kind or self.kind]
        cluster: Postgres | None = self.request.getfixturevalue("postgres") if records else None
        server: ObjectStorage | None = self.request.getfixturevalue("s3") if blobs else None
        return Addresses(
            records=cluster.fresh() if cluster else "", blobs=server.fresh() if server else ""
        )
