"""What a run gives: a figure a case and server, facts of each server, and what has none."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum

import msgspec

from benchmarks.serving.kinds import Kind


class Wire(StrEnum):
    """In which form rows travel."""

    JSON = "JSON"
    BINARY = "binary"
    GRPC = "gRPC"


class Case(msgspec.Struct, frozen=True):
    """One load: so many rows a request on so many connections."""

    kind: Kind
    wire: Wire
    rows: int
    connections: int


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """One server under one load; ``reason`` says why there is no figure."""

    server: str
    case: Case
    per_second: float = 0.0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    reason: str = ""


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """A server beside its speed: memory of all its processes, of its worker, and its start."""

    server: str
    kind: Kind
    memory_mb: float
    worker_mb: float
    first_answer_s: float


class Results(msgspec.Struct, kw_only=True):
    """A whole run; ``without_guards`` is requests/s of Shipway with and without its guards."""

    machine: str
    measured: list[Measured] = []
    facts: list[Facts] = []
    guards: tuple[float, float] | None = None

    def rate(self, server: str, case: Case) -> float | None:
        """Requests/s of *server*, None where there is no figure."""
        for one in self.measured:
            if one.server == server and one.case == case and not one.reason:
                return one.per_second
        return None

    def facts_of(self, server: str, kind: Kind) -> Facts | None:
        """The facts of *server* with the model of *kind*."""
        found = (one for one in self.facts if (one.server, one.kind) == (server, kind))
        return next(found, None)

    def servers(self) -> Iterator[str]:
        """All servers, in the order in which they were measured."""
        yield from dict.fromkeys(one.server for one in self.measured)
