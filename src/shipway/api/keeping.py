"""``delete``, ``gc``, ``backup`` and ``restore``: what is kept, for how long, and a copy of it."""

from __future__ import annotations

import tempfile
from datetime import timedelta
from pathlib import Path

from shipway.bootstrap.project import Project
from shipway.domain.progress import SILENT, Progress
from shipway.registry.addresses import IN_FOLDER, Addresses
from shipway.registry.backup import BackedUp, back_up, would_back_up
from shipway.registry.collecting import GRACE, Collected, collect
from shipway.registry.deleting import delete_version
from shipway.registry.records import VersionChange
from shipway.registry.restoring import Restored, refuse_restoring
from shipway.registry.restoring import restore as restore_store


def delete(
    project: Project, version: str, *, reason: str = "", dry_run: bool = False
) -> VersionChange:
    """Delete *version*, which never was live; its number is not given again.

    Raises :class:`~shipway.errors.ConflictError` for one that is or was live.
    """
    chosen = project.registry.resolve(version, project.model)
    return delete_version(
        project.registry,
        chosen.model,
        chosen.number,
        by=project.who,
        reason=reason,
        now=project.clock(),
        dry_run=dry_run,
    )


def gc(
    project: Project,
    *,
    grace: timedelta = GRACE,
    dry_run: bool = False,
    progress: Progress = SILENT,
) -> Collected:
    """Remove the stored bytes that nothing has needed for *grace*; see ``registry.collecting``."""
    return collect(
        project.registry, now=project.clock(), grace=grace, dry_run=dry_run, progress=progress
    )


def backup(
    project: Project,
    file: Path,
    *,
    replace: bool = False,
    dry_run: bool = False,
    progress: Progress = SILENT,
) -> BackedUp:
    """Write the whole store, with its events and labels, into *file*: whole, or not at all.

    Raises :class:`~shipway.errors.ConflictError` for a file that is there, unless it is to be
    replaced, and :class:`~shipway.errors.IntegrityError` for a store that lacks something.
    """
    if dry_run:
        return would_back_up(project.registry)
    return back_up(
        project.registry,
        file.absolute(),
        beside=project.home.absolute(),
        by=project.who,
        now=project.clock(),
        replace=replace,
        progress=progress,
    )


def restore(
    file: Path,
    home: Path,
    *,
    addresses: Addresses = IN_FOLDER,
    dry_run: bool = False,
    progress: Progress = SILENT,
) -> Restored:
    """Make a store in the folder *home* and at *addresses*, all new or empty, of the backup *file*.

    A dry run restores into a folder that goes away again. Raises
    :class:`~shipway.errors.ConflictError` where there is a store, and
    :class:`~shipway.errors.IntegrityError` for a backup that is not whole.
    """
    if not dry_run:
        return restore_store(file, home, addresses, progress=progress)
    refuse_restoring(home, addresses)
    with tempfile.TemporaryDirectory(prefix="shipway-") as folder:
        return restore_store(file, Path(folder) / "store", progress=progress)
