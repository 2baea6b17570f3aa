"""Tells the story of the demo in a terminal, while it happens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from shipway.cli.judgements import show_judgements
from shipway.cli.output import Output
from shipway.cli.visible import number
from shipway.domain.progress import Progress

if TYPE_CHECKING:
    from shipway.api.gate import GateReport
    from shipway.examples.flights.summary import AlertLine, WeekLine

_STYLES = {"pass": "green", "fail": "red", "undecided": "yellow"}


class Storyteller:
    """The narrator of the terminal: everything goes to *output*, beside the bars."""

    def __init__(self, output: Output, progress: Progress) -> None:
        self.progress = progress
        self._output = output
        self._chapters = 0

    def step(self, title: str) -> None:
        """A heading with the number of the chapter."""
        self._chapters += 1
        self._output.line()
        self._output.line(f"{self._chapters}. {title}", style="bold")

    def say(self, text: str) -> None:
        """A line."""
        self._output.line(f"   {text}")

    def gated(self, about: str, report: GateReport) -> None:
        """The table of the gate, and its verdict."""
        show_judgements(report.judgements, self._output, title=about)
        self._output.line(f"   Verdict: {report.verdict}", style=_STYLES[report.verdict])

    def weeks(self, lines: Sequence[WeekLine]) -> None:
        """A line a week: its metrics with intervals, its labels, what moved, its verdict."""
        for line in lines:
            metrics = "  ".join(
                f"{name} {number(value, digits=3)}"
                f" ({number(low, digits=3)} to {number(high, digits=3)})"
                for name, (value, low, high) in line.metrics.items()
            )
            moved = f"  moved: {', '.join(line.moved)}" if line.moved else ""
            self._output.line(
                f"   {line.week}  {line.predictions:>6,} flights  {line.matured:.0%} labelled"
                f"  {metrics}  {line.verdict}{moved}",
                style=_STYLES[line.verdict],
            )

    def alert(self, line: AlertLine) -> None:
        """What no longer holds, and what explains it."""
        self._output.line(f"   Alert, {line.week}: {line.summary}", style="bold red")
        self._output.line(f"   {line.explanation}")
