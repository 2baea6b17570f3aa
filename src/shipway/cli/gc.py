"""``shipway gc``."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from shipway.cli.options import NO_OPTIONS, DryRun, Options
from shipway.cli.output import Output, Result
from shipway.cli.visible import moment, size

if TYPE_CHECKING:
    from shipway.registry.collecting import Collected


def gc(
    *,
    grace_days: Annotated[
        float,
        Parameter(
            help="Days that something must have been unneeded.", validator=Number(gte=0, lte=3650)
        ),
    ] = 7.0,
    dry_run: DryRun = False,
    options: Options = NO_OPTIONS,
) -> Result:
    """Remove the stored bytes that nothing needs any more.

    What no version, evidence or record needs goes once two runs that lie the grace period apart
    have found it unneeded. Publishers and servers may be at work.
    """
    from shipway.api.keeping import gc as collect

    output = options.output()
    with options.open() as project:
        done = collect(
            project,
            grace=timedelta(days=grace_days),
            dry_run=dry_run,
            progress=output.progress,
        )
    return Result(
        document=done,
        show=lambda output: _show(done, output),
        next_step="shipway gc" if dry_run and done.removed else "shipway doctor",
    )


def _show(done: Collected, output: Output) -> None:
    if done.dry_run:
        output.line(f"Would remove {len(done.removed):,} of {done.kept:,} stored files")
    else:
        output.line(f"Removed {len(done.removed):,} stored files, {size(done.freed_bytes)}")
    if done.waiting:
        output.line(
            f"{done.waiting:,} more are unneeded; the first may go at {moment(done.next_at)} UTC"
        )
