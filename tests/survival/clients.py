"""A client that looks at endpoints and moves them, and notes when it asked and what it was told."""

from __future__ import annotations

import json
import os
import random
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import alembic.command  # noqa: F401 - before the fork

from shipway.errors import ConflictError
from shipway.registry.addresses import Addresses
from shipway.registry.opening import open_registry
from shipway.registry.registry import Registry

MODEL = "flight-delay"
VERSIONS = 4


class Client:
    """Asks the same registry again and again."""

    def __init__(self, registry: Registry, notes: Path, seed: str, endpoints: list[str]) -> None:
        self._registry = registry
        self._chance = random.Random(seed)
        self._notes = os.open(notes, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._seen = dict.fromkeys(endpoints, 0)

    def ask(self) -> None:
        """A look, or a move that rests on the last look."""
        endpoint = self._chance.choice(list(self._seen))
        if self._chance.random() < 0.4:
            self._note(endpoint=endpoint, kind="look")
            state = self._registry.endpoint(endpoint)
            answer = (state.sequence, state.live or 0) if state else (0, 0)
            self._answered(endpoint, answer)
            return
        live, expected = self._chance.randint(1, VERSIONS), self._seen[endpoint]
        self._note(endpoint=endpoint, kind="move", expected=expected, live=live)
        try:
            state = self._registry.move_endpoint(
                endpoint,
                model=MODEL,
                expected=expected,
                live=live,
                action="promote",
                by="client",
                reason="",
                evidence=None,
                now=datetime.now(UTC),
            )
        except ConflictError:
            self._note(answer=None)
            self._seen[endpoint] += self._chance.choice((0, 1, 1))
        else:
            self._answered(endpoint, (state.sequence, state.live or 0))

    def _answered(self, endpoint: str, answer: tuple[int, int]) -> None:
        self._note(answer=answer)
        self._seen[endpoint] = answer[0]

    def _note(self, **told: Any) -> None:
        line = json.dumps({**told, "at": time.monotonic_ns()})
        os.write(self._notes, line.encode() + b"\n")


def main(home: str, records: str, notes: str, seed: str, endpoints: list[str], count: int) -> None:
    """Ask *count* times."""
    with open_registry(Path(home), Addresses(records=records)) as registry:
        client = Client(registry, Path(notes), seed, endpoints)
        for _ in range(count):
            client.ask()
