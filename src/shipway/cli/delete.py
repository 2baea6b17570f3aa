"""``shipway versions delete``."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from shipway.cli.options import NO_OPTIONS, DryRun, Options
from shipway.cli.output import Result


def delete(
    version: Annotated[str, Parameter(help="The version: 3, or latest.")],
    /,
    *,
    reason: Annotated[str, Parameter(help="Why, for the history.")] = "",
    dry_run: DryRun = False,
    options: Options = NO_OPTIONS,
) -> Result:
    """Delete a version that never was live. Its number is not given again.

    Its files go with `shipway gc` after the grace period. Packing the same model again brings the
    same version back.
    """
    from shipway.api.keeping import delete as remove

    with options.open() as project:
        deleted = remove(project, version, reason=reason, dry_run=dry_run)
    verb = "Would delete" if dry_run else "Deleted"
    return Result(
        document=deleted,
        show=lambda output: output.line(f"{verb} {deleted.model}@{deleted.number}"),
        next_step="the same command without --dry-run" if dry_run else "shipway gc",
    )
