"""Deleting a version that never answered anybody; its number is never given again."""

from __future__ import annotations

from datetime import datetime

from shipway.registry.audited import telling
from shipway.registry.records import VersionChange
from shipway.registry.refusals import was_live
from shipway.registry.registry import Registry


def delete_version(
    registry: Registry,
    model: str,
    number: int,
    *,
    by: str,
    reason: str,
    now: datetime,
    dry_run: bool = False,
) -> VersionChange:
    """Take version *number* of *model* out of the registry.

    Who deleted it, when and why stays, with its manifest and what was judged about it; its files
    go with the first collection after the grace period. Publishing the same bytes brings the same
    version back. Raises ConflictError for a version that is or was live, because it is part of
    the history, and NotFoundError for no such version.
    """
    with telling(registry.trail, "version.delete", f"{model}@{number}", dry_run=dry_run):
        return _delete(registry, model, number, by=by, reason=reason, now=now, dry_run=dry_run)


def _delete(
    registry: Registry,
    model: str,
    number: int,
    *,
    by: str,
    reason: str,
    now: datetime,
    dry_run: bool,
) -> VersionChange:
    version = registry.version(model, number)
    change = VersionChange(
        model=model, number=number, sequence=0, action="delete", at=now, by=by, reason=reason
    )
    if dry_run:
        moves = (
            move for state in registry.endpoints() for move in registry.history(state.endpoint)
        )
        if any(move.model == model and number in (move.live, move.before) for move in moves):
            raise was_live(version.ref)
        return change
    kept = registry.stores[0].deletions.delete(change)
    if kept is None:
        registry.version(model, number)  # it may have been deleted since
        raise was_live(version.ref)
    registry.refresh_index()
    return kept
