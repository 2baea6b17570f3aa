"""``shipway sign``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from shipway.cli.options import NO_OPTIONS, DryRun, Options
from shipway.cli.output import Output, Result


def sign(
    version: Annotated[str | None, Parameter(help="The version; the newest by default.")] = None,
    /,
    *,
    out: Annotated[
        Path | None,
        Parameter(help="A folder to write it to, signed, for other tools to verify."),
    ] = None,
    dry_run: DryRun = False,
    options: Options = NO_OPTIONS,
) -> Result:
    """Sign a version, or show with --dry-run who would sign it.

    What is published is signed by itself. Sign again when another key is to answer for it. The
    form is OpenSSF Model Signing v1.0.
    """
    from shipway.api.sign import sign as make
    from shipway.api.sign import write_signed

    with options.open() as project:
        if out is None or dry_run:
            made = make(project, version, dry_run=dry_run)
        else:
            made = write_signed(project, version, out)

    def show(output: Output) -> None:
        who = made.identity or "a key that is made at its first use"
        output.line(f"{'Signed' if made.signed else 'Would sign'} {made.version}: {who}")
        if made.folder:
            output.line(f"Wrote {made.folder}: {', '.join(made.files)}", style="green")

    return Result(document=made, show=show, next_step=f"shipway verify {made.version}")
