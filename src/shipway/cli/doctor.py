"""``shipway doctor``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from shipway.cli.failures import ENVIRONMENT, PASSED
from shipway.cli.options import NO_OPTIONS, Options
from shipway.cli.output import Output, Result

if TYPE_CHECKING:
    from shipway.api.doctor import Diagnosis


def doctor(
    *,
    thorough: Annotated[
        bool, Parameter(help="Read every stored byte and compare it with its digest.")
    ] = False,
    options: Options = NO_OPTIONS,
) -> Result:
    """Look whether machine, packages, settings and store are fit for the work.

    Nothing is changed. The exit code is 4 when something stands in the way.
    """
    from shipway.api.doctor import doctor as look

    diagnosis = look(options.project, thorough=thorough)
    return Result(
        document=diagnosis,
        show=lambda output: _show(diagnosis, output),
        next_step="" if diagnosis.errors else "shipway status",
        exit_code=ENVIRONMENT if diagnosis.errors else PASSED,
    )


def _show(diagnosis: Diagnosis, output: Output) -> None:
    output.table(
        ["", "Finding", "What to do"],
        [(finding.level, finding.message, finding.next_step) for finding in diagnosis.findings],
    )
    if diagnosis.errors:
        output.line(f"{diagnosis.errors} stand in the way", style="red")
    else:
        output.line("Nothing stands in the way.", style="green")
