"""``shipway score``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter
from cyclopts.validators import Number

from shipway.cli.options import NO_OPTIONS, DryRun, Options
from shipway.cli.output import Output, Result
from shipway.cli.visible import number

if TYPE_CHECKING:
    from shipway.batch.estimate import ScoreEstimate
    from shipway.batch.score import ScoreSummary


def score(
    table: Annotated[
        Path, Parameter(help="The rows to predict: a file, a folder, or a 'pattern'.")
    ],
    predictions: Annotated[
        Path, Parameter(help="Where the predictions go: a file, or a folder (no ending).")
    ],
    /,
    *,
    version: Annotated[str | None, Parameter(help="The version; the live one by default.")] = None,
    endpoint: Annotated[
        str | None, Parameter(help="The endpoint whose live version predicts; the project's own.")
    ] = None,
    keep_inputs: Annotated[
        bool, Parameter(help="Write the table's own columns beside the predictions.")
    ] = False,
    on_bad: Annotated[
        Literal["quarantine", "fail"],
        Parameter(help="What becomes of rows that break the contract."),
    ] = "quarantine",
    max_bad_share: Annotated[
        float,
        Parameter(
            help="The share of bad rows above which it gives up.", validator=Number(gte=0, lte=1)
        ),
    ] = 0.05,
    excel_safe: Annotated[
        bool, Parameter(help="In CSV, disarm texts that a spreadsheet would run.")
    ] = False,
    events: Annotated[
        bool | None,
        Parameter(
            negative="--no-events",
            help="Whether monitoring sees the predictions; those of the live version by default.",
        ),
    ] = None,
    dry_run: DryRun = False,
    options: Options = NO_OPTIONS,
) -> Result:
    """Predict a whole table offline, in bounded memory.

    Parquet, Arrow, CSV and JSON lines are read and written; several files are read in order.
    The same predictor answers online, so the predictions are the same. Rows that break the
    contract are set aside with their reasons. Cut off at any point, the same command goes on where
    it was, and gives the same bytes.
    """
    from shipway.api.score import estimate_score
    from shipway.api.score import score as run

    with options.open() as project:
        if dry_run:
            return _estimated(
                estimate_score(
                    project,
                    table,
                    predictions,
                    version=version,
                    endpoint=endpoint,
                    keep_inputs=keep_inputs,
                ),
                predictions,
            )
        summary = run(
            project,
            table,
            predictions,
            version=version,
            endpoint=endpoint,
            keep_inputs=keep_inputs,
            on_bad=on_bad,
            max_bad_share=max_bad_share,
            excel_safe=excel_safe,
            events=events,
            progress=options.output().progress,
        )
    return Result(
        document=summary,
        show=lambda output: _show(summary, output),
        next_step="shipway serve, for answers that monitoring remembers",
    )


def _show(summary: ScoreSummary, output: Output) -> None:
    output.line(
        f"Predicted {summary.rows - summary.bad_rows:,} of {summary.rows:,} rows in"
        f" {number(summary.seconds, digits=3)} s"
        f" ({number(summary.rows_per_s, digits=3)} rows/s) into {summary.output}",
        style="green",
    )
    for code, count in summary.warnings.items():
        output.line(f"Counted: {count:,} times {code}")
    if summary.quarantine is not None:
        output.warn(f"{summary.bad_rows:,} rows were set aside in {summary.quarantine}")


def _estimated(estimate: ScoreEstimate, predictions: Path) -> Result:
    return Result(
        document=estimate,
        show=lambda output: _show_estimate(estimate, predictions, output),
        next_step="the same command without --dry-run",
    )


def _show_estimate(estimate: ScoreEstimate, predictions: Path, output: Output) -> None:
    there = ", which is there already" if predictions.exists() else ""
    about = "" if estimate.counted else "about "
    output.line(
        f"Would predict {about}{estimate.rows:,} rows of {estimate.files:,} files into"
        f" {predictions}{there}"
    )
    output.line(
        f"In {estimate.parts:,} parts, about {number(estimate.seconds, digits=3)} s"
        f" ({number(estimate.rows_per_s, digits=3)} rows/s) and"
        f" {number(estimate.disk_bytes / 1e6, digits=3)} MB of disk meanwhile"
    )
    if estimate.sampled_bad_rows:
        output.warn(
            f"{estimate.sampled_bad_rows:,} of the first {estimate.sampled_rows:,} rows break the"
            " contract"
        )
