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
                _value(judgement),
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
            reason = judgement.reason
            if not reason.startswith(judgement.objective.metric):
                reason = f"{_objective(judgement)}: {reason}"
            output.line(f"{judgement.verdict}: {reason}")


def _objective(judgement: Judgement) -> str:
    within = f" ({judgement.measurement.of})" if judgement.measurement.of else ""
    words = _BOUNDS.get(judgement.bound, judgement.bound)
    if judgement.bound == "better_than":
        return f"{judgement.objective.metric} {words} {judgement.objective.better_than}{within}"
    return f"{judgement.objective.metric} {words} {number(judgement.target)}{within}"


def _value(judgement: Judgement) -> str:
    """The value; of a comparison, how much it differs from what it is compared with."""
    value = number(judgement.measurement.value)
    if judgement.bound != "better_than" or judgement.measurement.value is None:
        return value
    return value if value.startswith("-") else f"+{value}"


def _interval(judgement: Judgement) -> str:
    low, high = judgement.measurement.low, judgement.measurement.high
    if low is None and high is None:
        return "-"
    return f"{number(low)} to {number(high)}"
