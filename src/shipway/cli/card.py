"""``shipway card``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from shipway.cli.intentions import would_write
from shipway.cli.options import NO_OPTIONS, DryRun, Options
from shipway.cli.output import Output, Result


def card(
    version: Annotated[str | None, Parameter(help="The version; the newest by default.")] = None,
    /,
    *,
    out: Annotated[
        Path | None, Parameter(help="The folder to write to; into the store by default.")
    ] = None,
    dry_run: DryRun = False,
    options: Options = NO_OPTIONS,
) -> Result:
    """Write the model card of a version, from the records alone.

    Purpose, data, metrics with intervals and slices, limits, lineage and how to call it, in
    Markdown and in HTML.
    """
    from shipway.api.card import card as write

    with options.open() as project:
        if dry_run:
            return would_write(project, out or project.home / "reports", version or "latest")
        made = write(project, version=version, out=out)

    def show(output: Output) -> None:
        output.line(f"Wrote {made.markdown} and {made.html}", style="green")

    return Result(document=made, show=show, next_step=f"open {made.html}")
