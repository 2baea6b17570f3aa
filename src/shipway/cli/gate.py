"""``shipway gate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from shipway.cli.failures import VERDICT_CODES
from shipway.cli.judgements import show_judgements
from shipway.cli.options import NO_OPTIONS, Options
from shipway.cli.output import Output, Result

if TYPE_CHECKING:
    from shipway.api.gate import GateReport


def gate(
    version: Annotated[str | None, Parameter(help="The version; the newest by default.")] = None,
    /,
    *,
    data: Annotated[
        Path | None, Parameter(help="A table with known outcomes; data.test by default.")
    ] = None,
    seed: Annotated[
        int, Parameter(help="The seed of the resampling.", validator=Number(gte=0))
    ] = 0,
    options: Options = NO_OPTIONS,
) -> Result:
    """Judge a version by the objectives, on rows that it has not seen.

    Every objective is measured with its interval and judged: pass, fail, or undecided when the
    rows are too few to tell. The exit code is 0, 1 or 3 accordingly.
    """
    from shipway.api.gate import candidate_of
    from shipway.api.gate import gate as judge

    with options.open() as project:
        candidate = candidate_of(project, version)
        report = judge(project, candidate, data=data, progress=options.output().progress, seed=seed)
    return Result(
        document=report,
        show=lambda output: _show(report, output),
        next_step=_next_step(report),
        exit_code=VERDICT_CODES[report.verdict],
    )


def _show(report: GateReport, output: Output) -> None:
    against = f", against version {report.live}" if report.live is not None else ""
    title = f"{report.candidate} on {report.data.rows:,} rows of {report.data.location}{against}"
    show_judgements(report.judgements, output, title=title)
    for note in report.notes:
        output.line(f"Note: {note}")
    output.line(f"Verdict: {report.verdict}", style="bold")


def _next_step(report: GateReport) -> str:
    if report.verdict == "pass":
        return f"shipway promote {report.number}" if report.number is not None else "shipway pack"
    if report.verdict == "undecided":
        return "shipway gate --data TABLE, with more rows"
    return "train anew, then shipway pack MODEL"
