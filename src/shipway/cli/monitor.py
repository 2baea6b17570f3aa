"""``shipway monitor``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from shipway.cli.failures import FAILED, PASSED, UNDECIDED
from shipway.cli.judgements import show_judgements
from shipway.cli.options import NO_OPTIONS, Options, moment_of
from shipway.cli.output import Output, Result
from shipway.cli.visible import number

if TYPE_CHECKING:
    from shipway.api.monitor import Monitored
    from shipway.monitoring.findings import WindowReport

_MOVED_SHOWN = 3


def monitor(
    *,
    since: Annotated[
        str | None, Parameter(help="From when on, by event time; the beginning by default.")
    ] = None,
    until: Annotated[
        str | None, Parameter(help="Up to when, by event time; the end by default.")
    ] = None,
    window: Annotated[
        Literal["hour", "day", "week", "month"] | None,
        Parameter(help="The stretch of time judged as one; monitor.window by default."),
    ] = None,
    report: Annotated[
        Path | None, Parameter(help="Where the HTML report goes; into the store by default.")
    ] = None,
    options: Options = NO_OPTIONS,
) -> Result:
    """Judge the live traffic: objectives, drift, alerts.

    Every window of time is judged by the objectives, as far as its labels are in. The exit
    code is 1 while an alert is open, 3 when no window could be judged yet.
    """
    from shipway.api.monitor import monitor as look

    output = options.output()
    with options.open() as project:
        monitored = look(
            project,
            since=moment_of(since, "--since"),
            until=moment_of(until, "--until"),
            window=window,
            report=report,
            tell=lambda text: output.say(text, style="yellow"),
            progress=output.progress,
        )
    return Result(
        document=monitored,
        show=lambda output: _show(monitored, output),
        next_step=_next_step(monitored),
        exit_code=_exit_code(monitored),
    )


def _exit_code(monitored: Monitored) -> int:
    if monitored.open_alerts:
        return FAILED
    judged = any(window.verdict != "undecided" for window in monitored.windows)
    return PASSED if judged else UNDECIDED


def _next_step(monitored: Monitored) -> str:
    if monitored.open_alerts:
        return monitored.open_alerts[-1].next_step
    if not any(window.maturity.matured for window in monitored.windows):
        return "shipway labels add TABLE, so that there is something to judge"
    return f"open {monitored.report}"


def _show(monitored: Monitored, output: Output) -> None:
    metrics = _metrics(monitored)
    output.table(
        ["Window", "Versions", "Predictions", "Labels", *metrics, "Moved", "Verdict"],
        [_row(window, metrics) for window in monitored.windows],
        title=f"{monitored.model}, a window a line",
        right=["Predictions", "Labels"],
    )
    last = monitored.windows[-1]
    show_judgements(last.judgements, output, title=f"The last window, {last.window.name}")
    for note in last.notes:
        output.line(f"Note: {note}")
    for delivery in monitored.deliveries:
        if delivery.error:
            output.warn(f"an alert could not be sent by {delivery.sender}: {delivery.error}")
    for alert in monitored.open_alerts:
        output.line(f"Open alert: {alert.summary}", style="red")
        output.line(f"  {alert.explanation}")
    output.line(f"Report: {monitored.report}")


def _metrics(monitored: Monitored) -> list[str]:
    """Every metric that some window has figures of, in the order met."""
    found = (figures.metric for window in monitored.windows for figures in window.metrics)
    return list(dict.fromkeys(found))


def _row(window: WindowReport, metrics: list[str]) -> list[object]:
    return [
        window.window.name,
        ", ".join(window.versions),
        number(window.predictions),
        f"{window.maturity.share:.0%}",
        *(_realised(window, metric) for metric in metrics),
        ", ".join(feature.name for feature in window.moved[:_MOVED_SHOWN]),
        window.verdict,
    ]


def _realised(window: WindowReport, metric: str) -> str:
    """``0.71 (0.68 to 0.73)``; the estimate with a ~ before it while labels are missing."""
    figures = window.figures(metric)
    if figures is None:
        return "-"
    measured = figures.realised
    if measured.value is None:
        estimated = None if figures.estimated is None else figures.estimated.value
        return "-" if estimated is None else f"~{number(estimated, digits=3)}"
    if measured.low is None or measured.high is None:
        return number(measured.value, digits=3)
    interval = f"{number(measured.low, digits=3)} to {number(measured.high, digits=3)}"
    return f"{number(measured.value, digits=3)} ({interval})"
