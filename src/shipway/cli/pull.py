"""``shipway pull``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from shipway.cli.options import NO_OPTIONS, DryRun, Options
from shipway.cli.output import Output, Result
from shipway.cli.visible import moment, size

if TYPE_CHECKING:
    from shipway.api.pull import Pulled


def pull(
    reference: Annotated[
        str,
        Parameter(
            help="registry/name:tag, registry/name@sha256:..., or a layout's folder or archive."
        ),
    ],
    /,
    *,
    as_model: Annotated[
        str | None,
        Parameter(name="--as", help="The model that it must be of; the project's by default."),
    ] = None,
    trust_code: Annotated[
        bool,
        Parameter(help="Take a model that is code. It can do anything: only if you trust it."),
    ] = False,
    dry_run: DryRun = False,
    options: Options = NO_OPTIONS,
) -> Result:
    """Take a version from an OCI registry, folder or archive, if it is believed.

    Every byte is verified, and [trust] is asked who must have signed it, before anything is
    published. Verdicts from elsewhere are shown and open no gate here.
    """
    from shipway.api.pull import pull as fetch

    output = options.output()
    with options.open() as project:
        pulled = fetch(
            project,
            reference,
            model=as_model,
            trust_code=trust_code,
            dry_run=dry_run,
            progress=output.progress,
        )
    return Result(
        document=pulled,
        show=lambda output: _show(pulled, output),
        next_step=f"shipway gate {pulled.version.rpartition('@')[2]}"
        if pulled.version
        else "the same command without --dry-run",
    )


def _show(pulled: Pulled, output: Output) -> None:
    what = f"{pulled.files:,} files, {size(pulled.size_bytes)}, {pulled.digest[:19]}"
    if not pulled.version:
        output.line(f"Would take {pulled.address}: {what}")
    elif pulled.new:
        output.line(f"Published {pulled.version} from {pulled.address}: {what}", style="green")
    else:
        output.line(f"{pulled.version} is here already, the same to the last byte: {what}")
    who = f"signed by {pulled.identity}" if pulled.identity else "not known by whom it is signed"
    output.line(f"It is {who}{'' if pulled.named else ', and nobody whom a policy names'}")
    for claim in pulled.claims:
        output.line(f"Elsewhere: {claim.kind} {claim.verdict} at {moment(claim.at)} UTC")
