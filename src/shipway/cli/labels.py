"""``shipway labels``: add."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from shipway.cli.options import NO_OPTIONS, DryRun, Options
from shipway.cli.output import Result

app = App(
    name="labels",
    help="Add what turned out to be true, by prediction id.",
    help_prologue="Example: shipway labels add outcomes.csv",
)


@app.command(help_prologue="Example: shipway labels add outcomes.csv")
def add(
    table: Annotated[
        Path, Parameter(help="A table with prediction_id, the target, and perhaps observed_at.")
    ],
    /,
    *,
    url: Annotated[
        str | None, Parameter(help="The server to tell; straight into the store by default.")
    ] = None,
    key: Annotated[str | None, Parameter(help="The API key; SHIPWAY_KEY by default.")] = None,
    dry_run: DryRun = False,
    options: Options = NO_OPTIONS,
) -> Result:
    """Add the labels of a table; they are on disk when this returns.

    A later label of the same prediction corrects an earlier one.
    """
    from shipway.api.labels import add_labels

    with options.open() as project:
        added = add_labels(
            project, table, url=url, key=key, dry_run=dry_run, progress=options.output().progress
        )
    verb = "Would add" if dry_run else "Added"
    return Result(
        document=added,
        show=lambda output: output.line(f"{verb} {added.labels:,} labels ({added.through})"),
        next_step="shipway monitor",
    )
