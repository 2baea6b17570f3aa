"""The table of objectives: value, interval, number of rows, verdict, and the reason."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from shipway.cli.output import Output
from shipway.cli.visible import number

if TYPE_CHECKING:
    from shipway.evidence.verdict import Judgement

_BOUNDS = {"at_least": "at least", "at_most": "at most", "better_than": "better than"}


def show_judgements(judgements: Iterable[Judgement], output: Output, *, title: str = "") -> None:
    """Print *judgements* as a table, and under it the reason of each that did not pass."""
    listed = list(judgements)
    output.table(
        ["Objective", "Value", "Interval", "Rows", "Verdict"],
        [
            (
                _objective(judgement),
                number(judgement.measurement.value),
                _interval(judgement),
                number(judgement.measurement.n),
                judgement.verdict,
            )
            for judgement in listed
        ],
        title=title,
        right=["Value", "Interval", "Rows"],
    )
    for judgement in listed:
        if judgement.verdict != "pass":
            output.line(f"{judgement.verdict}: {judgement.reason}{_needed(judgement)}")


def _objective(judgement: Judgement) -> str:
    within = f" ({judgement.measurement.of})" if judgement.measurement.of else ""
    words = _BOUNDS.get(judgement.bound, judgement.bound)
    if judgement.bound == "better_than":
        return f"{judgement.objective.metric} {words} {judgement.objective.better_than}{within}"
    return f"{judgement.objective.metric} {words} {number(judgement.target)}{within}"


def _interval(judgement: Judgement) -> str:
    low, high = judgement.measurement.low, judgement.measurement.high
    if low is None and high is None:
        return "-"
    return f"{number(low)} to {number(high)}"


def _needed(judgement: Judgement) -> str:
    return f" (about {judgement.n_needed:,} rows would tell)" if judgement.n_needed else ""
