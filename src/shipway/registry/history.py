"""What the history of an endpoint or a model says. Pure: changes in, answers out."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from shipway.registry.records import EndpointChange, VersionChange


class Action(StrEnum):
    """Why an endpoint was moved."""

    PROMOTE = "promote"
    ROLLBACK = "rollback"


def live_before(changes: Iterable[EndpointChange]) -> int | None:
    """The version to go back to from the one that is live now; None if there is no such.

    A version that was rolled back from is no place to go back to: after promoting 1, promoting
    2, rolling back to 1 and promoting 3, it is 1. *changes* are one endpoint's, oldest first.
    """
    trail: list[int] = []
    for change in changes:
        if change.action == Action.ROLLBACK and change.live in trail:
            while trail[-1] != change.live:
                trail.pop()
        elif change.action == Action.ROLLBACK and trail:
            trail[-1] = change.live
        elif change.live not in trail[-1:]:
            trail.append(change.live)
    return trail[-2] if len(trail) > 1 else None


def deletions(changes: Iterable[VersionChange]) -> tuple[VersionChange, ...]:
    """The change that deleted each version that is deleted now; *changes* are one model's."""
    newest = {change.number: change for change in changes}
    return tuple(change for change in newest.values() if change.action == "delete")
