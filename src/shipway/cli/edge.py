"""``shipway edge``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from shipway.cli.intentions import would_write
from shipway.cli.options import NO_OPTIONS, DryRun, Options
from shipway.cli.output import Output, Result
from shipway.cli.visible import size


def edge(
    out: Annotated[Path, Parameter(help="The folder to write.")],
    /,
    *,
    version: Annotated[str | None, Parameter(help="The version; the live one by default.")] = None,
    force: Annotated[bool, Parameter(help="Replace a bundle that is there.")] = False,
    dry_run: DryRun = False,
    options: Options = NO_OPTIONS,
) -> Result:
    """Write a bundle that predicts with onnxruntime and numpy alone.

    The model, its contract and a runner of one file: copy the folder to where there is no
    Shipway and no network.
    """
    from shipway.api.edge import edge as make

    with options.open() as project:
        if dry_run:
            return would_write(project, out, version)
        made = make(project, out, version=version, force=force)

    def show(output: Output) -> None:
        output.line(
            f"Wrote {made.folder}: {made.version}, {', '.join(made.files)},"
            f" {size(made.size_bytes)}",
            style="green",
        )

    return Result(document=made, show=show, next_step=f"python {made.folder}/runner.py --help")
