"""How the registry says no: the errors about versions and endpoints, in words."""

from __future__ import annotations

from collections.abc import Iterable

from shipway.domain.times import iso
from shipway.errors import ConflictError, NotFoundError
from shipway.registry.records import EndpointChange, VersionChange


def no_model(model: str, models: Iterable[str]) -> NotFoundError:
    """There is no version of *model*; the store has *models*."""
    there = ", ".join(models)
    return NotFoundError(
        f"there is no version of {model!r}"
        + (f"; the store has {there}" if there else ", nor of any other model"),
        next_step="publish one with `shipway pack <model file>`",
    )


def no_version(model: str, number: int, *, first: int, newest: int) -> NotFoundError:
    """There never was version *number* of *model*."""
    return NotFoundError(
        f"there is no {model}@{number}; {model} has the versions {first} to {newest}",
        next_step="list them with `shipway versions`",
    )


def deleted(change: VersionChange) -> NotFoundError:
    """The version was deleted by *change*."""
    why = f": {change.reason}" if change.reason else ""
    return NotFoundError(
        f"{change.model}@{change.number} was deleted by {change.by} at {iso(change.at)}{why}",
        next_step="publish the same files again to bring it back, or choose another: "
        "`shipway versions`",
    )


def was_live(ref: str) -> ConflictError:
    """The version *ref* cannot be deleted."""
    return ConflictError(
        f"{ref} cannot be deleted: it is or was live, and is part of the history",
        next_step="see where with `shipway versions --history`; only what never answered can go",
    )


def moved(name: str, expected: int, last: EndpointChange | None) -> ConflictError:
    """The endpoint *name* is not at change *expected*, but at *last*."""
    state = (
        "it does not exist"
        if last is None
        else f"{last.model}@{last.live} is live since change {last.sequence} by {last.by}"
    )
    return ConflictError(
        f"the endpoint {name!r} is not at change {expected} any more: {state}",
        next_step="look at it with `shipway status`, and decide again",
    )
