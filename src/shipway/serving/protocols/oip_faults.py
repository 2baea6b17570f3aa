"""The structural faults of a request, gathered so that all of them are told at once."""

from __future__ import annotations

from shipway.errors import MalformedRequest, Problem

_LIMIT = 100


def note(faults: list[Problem], name: str, message: str) -> None:
    """Add a fault of the input *name*, or of the request itself; the first hundred are kept."""
    if len(faults) < _LIMIT:
        where = f"input {name[:64]}" if name else "the request"
        faults.append(Problem("request.malformed", message, where))


def malformed(
    faults: list[Problem], described: str = "GET /v2/models/<model> describes"
) -> MalformedRequest:
    """The refusal of a request with *faults*; *described* is what tells how one should be."""
    first = faults[0]
    return MalformedRequest(
        f"{first.where}: {first.message}" if len(faults) == 1 else f"{len(faults)} faults: {first}",
        next_step=f"send one input a column, as {described} them",
        problems=faults,
    )
