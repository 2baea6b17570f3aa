"""``shipway versions reproduce``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from shipway.cli.failures import FAILED, PASSED, UNDECIDED
from shipway.cli.options import NO_OPTIONS, Options
from shipway.cli.output import Output, Result
from shipway.cli.visible import number

if TYPE_CHECKING:
    from shipway.api.reproduce import Reproduction

_CHANGES_SHOWN = 20


def reproduce(
    version: Annotated[str, Parameter(help="The version: 3, or latest.")],
    /,
    *,
    tolerance: Annotated[
        float,
        Parameter(
            help="How far a metric may be off, relatively, where the bytes differ.",
            validator=Number(gte=0, lte=1),
        ),
    ] = 1e-6,
    options: Options = NO_OPTIONS,
) -> Result:
    """Train and pack a version once more, as recorded, and compare what comes out.

    The recorded commands run in the recorded code with the recorded tables, which are verified
    first. The exit code is 0 when the same model comes out, 1 when another one does, and 3 when
    something that it takes is lacking.
    """
    from shipway.api.reproduce import reproduce as again

    output = options.output()
    with options.open() as project:
        made = again(project, version, tolerance=tolerance, progress=output.progress)
    codes = {"pass": PASSED, "fail": FAILED, "undecided": UNDECIDED}
    return Result(
        document=made,
        show=lambda output: _show(made, output),
        next_step=f"shipway versions diff {made.version} latest",
        exit_code=codes[made.verdict.value],
    )


def _show(made: Reproduction, output: Output) -> None:
    for command in made.commands:
        output.line(f"Ran {command}")
    if made.environment:
        output.line(f"Environment: {made.environment}")
    if made.changes:
        output.table(
            ["Not as it was", "Then", "Now"],
            [(one.name, one.then or "-", one.now or "-") for one in made.changes[:_CHANGES_SHOWN]],
        )
        if (more := len(made.changes) - _CHANGES_SHOWN) > 0:
            output.line(f"and {more:,} more (all with --json)")
    for lack in made.lacks:
        output.line(f"Lacking: {lack}", style="yellow")
    if made.files:
        output.table(
            ["File", "Recorded", "Reproduced", "Same"],
            [
                (one.path, one.recorded[:19], one.reproduced[:19], "yes" if one.same else "no")
                for one in made.files
            ],
        )
    if made.metrics:
        output.table(
            ["Metric", "Recorded", "Reproduced", "Within"],
            [
                (
                    one.name,
                    number(one.recorded, digits=8),
                    number(one.reproduced, digits=8),
                    "yes" if one.within else "no",
                )
                for one in made.metrics
            ],
            right=["Recorded", "Reproduced"],
        )
    output.line(f"Verdict: {made.verdict.value}: {made.why}")
