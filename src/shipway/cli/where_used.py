"""``shipway versions where-used``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from shipway.cli.options import NO_OPTIONS, Options
from shipway.cli.output import Output, Result
from shipway.cli.visible import moment, number

if TYPE_CHECKING:
    from shipway.api.where_used import Uses


def where_used(
    dataset: Annotated[
        str, Parameter(help="A file, the beginning of its digest, its name, or train or test.")
    ],
    /,
    *,
    options: Options = NO_OPTIONS,
) -> Result:
    """Tell which versions were trained or tested on a table, and where they are live."""
    from shipway.api.where_used import where_used as look

    with options.open() as project:
        uses = look(project, dataset)
    return Result(
        document=uses, show=lambda output: _show(uses, output), next_step="shipway versions"
    )


def _show(uses: Uses, output: Output) -> None:
    output.table(
        ["Version", "Role", "At (UTC)", "Rows", "Table", "Digest", "Live on", "Was live on"],
        [
            (
                f"{use.model}@{use.version}",
                use.role,
                moment(use.at),
                number(use.rows),
                use.location or "-",
                use.digest[:19],
                ", ".join(use.live_on) or "-",
                ", ".join(use.was_live_on) or "-",
            )
            for use in uses.uses
        ],
        right=["Rows"],
    )
    output.line(f"{len(uses.uses)} uses, {uses.live} by a version that is live now")
