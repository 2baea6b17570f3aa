"""Removes the bytes that nothing needs any more, beside publishers and readers at work.

Only the ports are used, so it is the same for every store. A blob goes once it has been found
unneeded by two looks that lie the grace period apart; ``ports.BlobLedger`` says why no publisher
can lose one. Files of versions, of anything that a record mentions, and the copies of versions
that are there are needed; so a running server, which holds only such, never misses anything.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import msgspec

from shipway.domain.progress import SILENT, Progress
from shipway.registry.audited import tell, telling
from shipway.registry.ports import BlobLedger
from shipway.registry.registry import Registry
from shipway.security.audit import Entry

GRACE = timedelta(days=7)
_AT_A_TIME = 64  # blobs removed in one transaction: nobody waits longer than that to publish


class Collected(msgspec.Struct, frozen=True, kw_only=True):
    """What a collection did: ``removed`` blobs and ``freed_bytes``, and what is still waiting.

    ``waiting`` blobs are unneeded for less than the grace period; the first may go at
    ``next_at``. ``copies`` are cached copies of deleted versions.
    """

    kept: int
    removed: tuple[str, ...]
    freed_bytes: int
    waiting: int
    next_at: datetime | None
    copies: int
    dry_run: bool


def collect(
    registry: Registry,
    *,
    now: datetime,
    grace: timedelta = GRACE,
    dry_run: bool = False,
    progress: Progress = SILENT,
) -> Collected:
    """Remove what has been unneeded for *grace*, and note what is unneeded since *now*.

    A dry run removes and notes nothing. Stopped at any point, it has removed nothing that is
    needed, and the next one goes on. Raises :class:`~shipway.errors.StoreError` when the store
    cannot be read or written.
    """
    store, blobs, cache = registry.stores
    with progress.start("Looking for what is unneeded", None, "blobs") as task:
        kept = list(blobs.digests())
        noted = store.ledger.note(kept, now, dry_run=dry_run)
        task.advance(len(kept))
    due = [digest for digest, since in noted.items() if since <= now - grace]
    freed: dict[str, int] = {}

    def remove(digest: str) -> None:
        freed[digest] = blobs.remove(digest)

    if not dry_run and due:
        try:
            with telling(registry.trail, "store.collect"):
                _remove(store.ledger, due, remove, progress)
        finally:
            detail = {"blobs": len(freed), "freed_bytes": sum(freed.values())}
            tell(registry.trail, Entry(what="store.collect", detail=detail))
    waiting = [since for digest, since in noted.items() if digest not in due]
    return Collected(
        kept=len(kept) - len(freed),
        removed=tuple(due) if dry_run else tuple(freed),
        freed_bytes=sum(freed.values()),
        waiting=len(waiting),
        next_at=min(waiting) + grace if waiting else None,
        copies=0 if dry_run else cache.drop_others(lambda: _digests(registry)),
        dry_run=dry_run,
    )


def _remove(
    ledger: BlobLedger, due: Sequence[str], remove: Callable[[str], None], progress: Progress
) -> None:
    with progress.start("Removing", len(due), "blobs") as task:
        for at in range(0, len(due), _AT_A_TIME):
            ledger.sweep(due[at : at + _AT_A_TIME], remove)
            task.advance(len(due[at : at + _AT_A_TIME]))


def _digests(registry: Registry) -> set[str]:
    """The digests of the versions that may have a copy."""
    return {version.digest for model in registry.models() for version in registry.summaries(model)}
