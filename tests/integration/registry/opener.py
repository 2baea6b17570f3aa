"""Opens a store in a process of its own, once a line comes on stdin, and says what it did.

``opener HOME``: ``ready``, then ``migrated`` if it was the one, then ``opened``.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any
from unittest import mock

from tests.integration.registry.publisher import addresses

from shipway.registry.opening import open_registry
from shipway.registry.sql import migrate


def main(home: str) -> int:
    """Open it."""
    upgrade = migrate.upgrade

    def told(*arguments: Any) -> None:
        upgrade(*arguments)
        print("migrated")  # noqa: T201

    print("ready", flush=True)  # noqa: T201
    sys.stdin.readline()
    with (
        mock.patch.object(migrate, "upgrade", told),
        open_registry(Path(home), addresses()) as registry,
    ):
        registry.models()
    print("opened")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
