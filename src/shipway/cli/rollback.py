"""``shipway rollback``."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from shipway.cli.options import NO_OPTIONS, DryRun, Options
from shipway.cli.output import Result
from shipway.cli.switched import result_of


def rollback(
    *,
    to: Annotated[
        str | None, Parameter(help="The version; the one that answered before by default.")
    ] = None,
    endpoint: Annotated[
        str | None, Parameter(help="The endpoint; named like the model by default.")
    ] = None,
    reason: Annotated[str, Parameter(help="Why, for the history.")] = "",
    dry_run: DryRun = False,
    options: Options = NO_OPTIONS,
) -> Result:
    """Go back to the version that answered before.

    It comes back whole: model, contract, objectives and threshold. A running server follows
    without dropping a request.
    """
    from shipway.api.promote import rollback as switch

    with options.open() as project:
        switched = switch(project, to=to, endpoint=endpoint, reason=reason, dry_run=dry_run)
    return result_of(switched)
