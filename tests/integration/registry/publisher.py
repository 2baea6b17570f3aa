"""Publishes sample versions in a process of its own, and says on stdout what was acknowledged.

``publisher HOME WRITER COUNT``: COUNT versions, or without end for 0. Each line is one
acknowledgement: ``published NUMBER DIGEST``, then ``moved SEQUENCE LIVE`` of the endpoint.
``SHIPWAY_STORE__URL`` names the database of the records where that is not in HOME.
"""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from tests.stores import files, manifest

from shipway.domain.names import new_id
from shipway.errors import ConflictError, StoreError
from shipway.registry.addresses import Addresses
from shipway.registry.opening import open_registry
from shipway.registry.registry import Registry


def publish_one(registry: Registry, writer: str) -> None:
    """Publish one version that there never was, make it live, and say so each time."""
    contents, now = files(new_id()), datetime.now(UTC)
    version = registry.publish(manifest(contents), contents, by=writer, now=now)
    print(f"published {version.number} {version.digest}", flush=True)  # noqa: T201
    state = registry.endpoint("production")
    try:
        state = registry.move_endpoint(
            "production",
            model=version.model,
            expected=state.sequence if state else 0,
            live=version.number,
            action="promote",
            by=writer,
            reason="a test",
            evidence=None,
            now=now,
        )
    except ConflictError:
        return
    print(f"moved {state.sequence} {state.live}", flush=True)  # noqa: T201


def addresses() -> Addresses:
    """Where the store's records are."""
    return Addresses(records=os.environ.get("SHIPWAY_STORE__URL", ""))


def main(home: str, writer: str, count: str) -> int:
    """Publish *count* versions."""
    left = int(count) or sys.maxsize
    try:
        with open_registry(Path(home), addresses()) as registry:
            for _ in range(left):
                publish_one(registry, writer)
    except StoreError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 4
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
