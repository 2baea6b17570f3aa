"""``shipway demo``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from shipway.cli.failures import FAILED, PASSED
from shipway.cli.options import NO_OPTIONS, Options
from shipway.cli.output import Output, Result
from shipway.cli.storytelling import Storyteller
from shipway.cli.visible import number

if TYPE_CHECKING:
    from shipway.examples.flights.summary import DemoSummary


def demo(
    *,
    fast: Annotated[bool, Parameter(help="Replay every sixth flight: under a minute.")] = False,
    folder: Annotated[
        Path, Parameter(help="Where it happens; emptied first if a demo has made it.")
    ] = Path("demo"),
    options: Options = NO_OPTIONS,
) -> Result:
    """Live the whole life of one model on 336,776 real flights.

    Train, pack, gate, serve, watch a year go by, be alarmed, retrain, promote, break it, roll
    back: with the api, the server and the store that you will use. Every figure comes from
    this run. The exit code is 1 when a step did not happen as told.
    """
    from shipway.examples.flights.telling import tell

    output = options.output()
    summary = tell(folder, Storyteller(output.aside(), output.progress), fast=fast)
    return Result(
        document=summary,
        show=lambda output: _show(summary, output),
        next_step=summary.call.splitlines()[0],
        exit_code=FAILED if summary.missing else PASSED,
    )


def _show(summary: DemoSummary, output: Output) -> None:
    output.table(
        ["Version", "What it is", "Format", "Gate", "Predictions"],
        [
            (
                f"{version.number} (live)" if version.number == summary.live else version.number,
                version.about,
                version.format,
                version.verdict,
                number(version.predictions),
            )
            for version in summary.versions
        ],
        title="What has happened",
        right=["Predictions"],
    )
    output.line(
        f"{summary.predictions:,} predictions in {summary.requests:,} requests,"
        f" {summary.failed_requests} failed; {summary.labels_joined:,} labels joined;"
        f" {len(summary.alerts)} alerts; {number(summary.seconds['total'], digits=3)} s in all"
    )
    output.line(f"Report: {summary.report}")
    output.line(f"Model card: {summary.card}")
    output.line("Serve it and ask it:")
    for command in summary.call.splitlines():
        output.line(f"  {command}")
    for missing in summary.missing:
        output.line(f"Did not happen as told: {missing}", style="red")
