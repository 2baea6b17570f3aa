"""The one rule: an interval wholly on the good side passes, wholly on the bad side fails.

Anything else is undecided, with the number of rows that would decide it if the effect stays what
it looks like. Pure: the same measurement always gets the same verdict.
"""

from __future__ import annotations

from math import ceil, inf

from shipway.domain.metrics import Better
from shipway.domain.objectives import Objective
from shipway.errors import UsageError
from shipway.evidence.verdict import Judgement, Measurement, Verdict

AT_LEAST, AT_MOST, BETTER_THAN = "at_least", "at_most", "better_than"
_BEYOND_REASON = 1000  # times narrower: a million times the rows


def bounds_of(objective: Objective) -> tuple[tuple[str, float], ...]:
    """The bounds that *objective* sets, each with the number to hold the measurement against.

    For ``better_than`` that is of the difference candidate minus reference: ``-margin`` for a
    metric of which more is better, ``+margin`` for one of which less is.

    >>> bounds_of(Objective(metric="roc_auc", at_least=0.7, better_than="live", margin=0.01))
    (('at_least', 0.7), ('better_than', -0.01))
    """
    found: list[tuple[str, float]] = []
    if objective.at_least is not None:
        found.append((AT_LEAST, objective.at_least))
    if objective.at_most is not None:
        found.append((AT_MOST, objective.at_most))
    if objective.better_than is not None:
        higher = objective.definition.better is Better.HIGHER
        found.append((BETTER_THAN, 0.0 - objective.margin if higher else objective.margin))
    return tuple(found)


def judge(objective: Objective, bound: str, target: float, measurement: Measurement) -> Judgement:
    """Hold *measurement* against *target*, for one *bound* of *objective*.

    *bound* is ``at_least``, ``at_most`` or ``better_than`` and *target* as :func:`bounds_of` gives
    it. An end of the interval that lies exactly on the target counts as good.
    """
    above = _good_is_above(objective, bound)
    if measurement.value is None or (measurement.low is None and measurement.high is None):
        return Judgement(
            objective=objective,
            bound=bound,
            target=target,
            measurement=measurement,
            verdict=Verdict.UNDECIDED,
            reason=measurement.note or "not enough data for an interval",
        )
    low = -inf if measurement.low is None else measurement.low
    high = inf if measurement.high is None else measurement.high
    good = low >= target if above else high <= target
    bad = high < target if above else low > target
    verdict = Verdict.PASS if good else Verdict.FAIL if bad else Verdict.UNDECIDED
    needed = n_needed(measurement, target) if verdict is Verdict.UNDECIDED else None
    return Judgement(
        objective=objective,
        bound=bound,
        target=target,
        measurement=measurement,
        verdict=verdict,
        reason=_reason(objective, bound, target, measurement, verdict, needed),
        n_needed=needed,
    )


def n_needed(measurement: Measurement, target: float) -> int | None:
    """The total n at which the interval, shrinking as 1/sqrt(n), no longer holds *target*.

    Taken at the value observed, so it is itself uncertain. None when the value lies on the
    target, when there is no end on that side to shrink, or when it would take a million times the
    rows.
    """
    value = measurement.value
    if value is None or value == target:
        return None
    end = measurement.low if value > target else measurement.high
    if end is None:
        return None
    shrink = abs((value - end) / (value - target))
    if shrink > _BEYOND_REASON:
        return None
    return max(ceil(measurement.n * shrink**2), measurement.n + 1)


def _good_is_above(objective: Objective, bound: str) -> bool:
    if bound == BETTER_THAN:
        return objective.definition.better is Better.HIGHER
    if bound in {AT_LEAST, AT_MOST}:
        return bound == AT_LEAST
    raise UsageError(f"{bound!r} is not a bound", next_step="use at_least, at_most or better_than")


def _reason(
    objective: Objective,
    bound: str,
    target: float,
    measurement: Measurement,
    verdict: Verdict,
    needed: int | None,
) -> str:
    ends = [
        "unknown" if end is None else f"{end:.4g}" for end in (measurement.low, measurement.high)
    ]
    figure = f"{measurement.value:.4g} [{ends[0]}, {ends[1]}]"
    what = f"{objective.metric} {figure}"
    goal = f"{bound.replace('_', ' ')} {target:.4g}"
    if bound == BETTER_THAN:
        slack = f" by more than {objective.margin:.4g}" if objective.margin else ""
        what = f"the difference of {objective.metric} to {objective.better_than} {figure}"
        goal = f"not worse than {objective.better_than}{slack}"
    if verdict is Verdict.PASS:
        return f"{what} is {goal}"
    if verdict is Verdict.FAIL:
        return f"{what} misses: {goal}"
    text = f"{what} leaves open: {goal}"
    if needed is None:
        return f"{text}; {measurement.note}" if measurement.note else text
    enough = f"about {needed:,} rows"
    if measurement.blocks:
        blocks = ceil(measurement.blocks * needed / measurement.n)
        enough += f" in {blocks:,} blocks"
    return f"{text}; {enough} would decide if the value stays"
