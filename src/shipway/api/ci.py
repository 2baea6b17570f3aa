"""``ci init``: the workflow that gates every change of a project."""

from __future__ import annotations

from pathlib import Path

import msgspec

from shipway.bootstrap.project import Project
from shipway.errors import UsageError
from shipway.packaging.ci import Workflow, write_github_workflow


class WrittenPipeline(msgspec.Struct, frozen=True, kw_only=True):
    """A workflow and what is still to be done for it to pass."""

    path: str
    text: str
    notes: tuple[str, ...]
    written: bool


def init_github(
    project: Project,
    model: Path,
    *,
    trust_pickle: bool = False,
    force: bool = False,
    dry_run: bool = False,
) -> WrittenPipeline:
    """Write ``.github/workflows/shipway.yml``: check, validate, pack and gate every change.

    Raises :class:`~shipway.errors.UsageError` without a test table in the settings.
    """
    table = project.settings.data.test
    if table is None:
        raise UsageError(
            "a pipeline needs a table to gate on, and data.test is not set",
            next_step="set test under [data] in shipway.toml",
        )
    workflow = Workflow(model=model.as_posix(), table=table, trust_pickle=trust_pickle)
    written = write_github_workflow(project.folder, workflow, force=force, dry_run=dry_run)
    return WrittenPipeline(
        path=str(written.path), text=written.text, notes=written.notes, written=not dry_run
    )
