"""``shipway versions tag``."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from shipway.cli.options import NO_OPTIONS, DryRun, Options
from shipway.cli.output import Output, Result
from shipway.cli.visible import moment


def tag(
    *,
    show: Annotated[
        bool, Parameter(help="Write nothing; read the history that the tags hold.")
    ] = False,
    dry_run: DryRun = False,
    options: Options = NO_OPTIONS,
) -> Result:
    """Write versions and promotions as annotated git tags in GTO's form.

    `name@v3` is on the commit that version 3 was made from, `name#endpoint#2` on that of the
    version that change 2 made live. Tags that are there stay; nothing is pushed.
    """
    from shipway.api.tag import tag as write
    from shipway.api.tag import tagged

    with options.open() as project:
        if show:
            told = tagged(project)

            def table(output: Output) -> None:
                output.table(
                    ["At (UTC)", "Event", "Version", "Stage", "By", "Commit", "Tag"],
                    [
                        (
                            moment(one.at),
                            one.event,
                            one.version or "-",
                            one.stage or "-",
                            one.author,
                            one.commit[:10],
                            one.ref,
                        )
                        for one in told.events
                    ],
                )

            return Result(document=told, show=table, next_step="shipway versions --history")
        done = write(project, dry_run=dry_run)

    def lines(output: Output) -> None:
        for name in done.written:
            output.line(f"{'Would tag' if dry_run else 'Tagged'} {name}")
        if not done.written:
            output.line("Every version with a commit is tagged already.")
        for ref in done.without_commit:
            output.line(f"{ref} has no commit on record, and is not tagged", style="yellow")

    return Result(document=done, show=lines, next_step="git push --tags")
