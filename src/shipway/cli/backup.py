"""``shipway backup`` and ``shipway restore``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from shipway.cli.options import NO_OPTIONS, DryRun, Options
from shipway.cli.output import Output, Result
from shipway.cli.visible import moment, size


def backup(
    file: Annotated[Path, Parameter(help="The file to write.")],
    /,
    *,
    force: Annotated[bool, Parameter(help="Replace a file that is there.")] = False,
    dry_run: DryRun = False,
    options: Options = NO_OPTIONS,
) -> Result:
    """Write the whole store into one file, while it is in use.

    Versions, evidence, histories and keys are of one moment; every byte is checked on the way.
    Events and labels are in it as well. The file is a tar archive that only you may read.
    """
    from shipway.api.keeping import backup as make

    output = options.output()
    with options.open() as project:
        made = make(project, file, replace=force, dry_run=dry_run, progress=output.progress)

    def show(output: Output) -> None:
        verb = "Would write" if dry_run else "Wrote"
        weight = "" if dry_run else f", {size(made.size_bytes)}"
        output.line(
            f"{verb} {file}: {made.versions:,} versions, {made.blobs:,} stored files{weight}"
        )

    return Result(
        document=made,
        show=show,
        next_step="the same command without --dry-run"
        if dry_run
        else f"shipway restore {file} HOME",
    )


def restore(
    file: Annotated[Path, Parameter(help="A backup.")],
    home: Annotated[Path, Parameter(help="The folder to make the store in: new, or empty.")],
    /,
    *,
    dry_run: DryRun = False,
    options: Options = NO_OPTIONS,
) -> Result:
    """Make a store of a backup, checked to the last byte.

    It is all there afterwards, or nothing is. Where `store.url` or `store.blobs` are set, in
    the project or by variables, records and blobs go there. A backup of an older release is
    brought up to this one.
    """
    from shipway.api.keeping import restore as make

    output = options.output()
    made = make(
        file,
        home,
        addresses=options.addresses(),
        dry_run=dry_run,
        progress=output.progress,
    )

    def show(output: Output) -> None:
        verb = "Could restore" if dry_run else "Restored"
        output.line(f"{verb} {made.versions:,} versions and {made.blobs:,} stored files to {home}")
        output.line(f"They are of {moment(made.header.created_at)} UTC")

    next_step = (
        "the same command without --dry-run" if dry_run else f"SHIPWAY_HOME={home} shipway doctor"
    )
    return Result(document=made, show=show, next_step=next_step)
