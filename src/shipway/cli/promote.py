"""``shipway promote``."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from shipway.cli.options import NO_OPTIONS, DryRun, Options
from shipway.cli.output import Result
from shipway.cli.switched import result_of
from shipway.errors import UsageError


def promote(
    version: Annotated[str | None, Parameter(help="The version; the newest by default.")] = None,
    /,
    *,
    endpoint: Annotated[
        str | None, Parameter(help="The endpoint; named like the model by default.")
    ] = None,
    force: Annotated[
        bool, Parameter(help="Do it against the verdict; the history will say so.")
    ] = False,
    reason: Annotated[str, Parameter(help="Why, for the history; needed with --force.")] = "",
    dry_run: DryRun = False,
    options: Options = NO_OPTIONS,
) -> Result:
    """Let a version answer the requests, if its gate allows it.

    A running server follows without dropping a request. Without a passed gate the exit code
    is 1 and nothing changes.
    """
    from shipway.api.promote import promote as switch

    if force and not reason:
        raise UsageError("--force needs a reason", next_step='add --reason "why it must be"')
    with options.open() as project:
        switched = switch(
            project, version, endpoint=endpoint, force=force, reason=reason, dry_run=dry_run
        )
    return result_of(switched)
