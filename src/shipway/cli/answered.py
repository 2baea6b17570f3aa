"""``shipway versions answered``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from shipway.cli.options import NO_OPTIONS, Options
from shipway.cli.output import Output, Result
from shipway.cli.visible import moment

if TYPE_CHECKING:
    from shipway.api.answered import Answered


def answered(
    prediction: Annotated[
        str, Parameter(help="The id of a prediction or of a request, from the answer.")
    ],
    /,
    *,
    options: Options = NO_OPTIONS,
) -> Result:
    """Tell which version answered a prediction, who put it there, when, and on which verdict."""
    from shipway.api.answered import answered as look

    with options.open() as project:
        found = look(project, prediction)
    return Result(
        document=found,
        show=lambda output: _show(found, output),
        next_step=f"shipway card {found.version}",
    )


def _show(found: Answered, output: Output) -> None:
    answer = f"{found.status} {found.code}".strip()
    output.line(
        f"{found.prediction_id} was answered by {found.model}@{found.version} on"
        f" {found.endpoint!r} at {moment(found.received_at)} UTC ({answer})"
    )
    change = found.change
    if change is None:
        output.line("The registry does not know how that version came there.", style="yellow")
        return
    how = f"{change.action} (forced)" if change.forced else change.action
    why = f": {change.reason}" if change.reason else ""
    output.line(f"Put there by {change.by} at {moment(change.at)} UTC, {how}{why}")
    if found.evidence is None:
        output.line("It rests on no verdict.")
    else:
        output.line(f"It rests on evidence {found.evidence}: {found.verdict}")
