"""What plain counts say about a metric, where resampling sees no events and so no uncertainty."""

from __future__ import annotations

import numpy as np

from shipway.domain.metrics import Task
from shipway.domain.objectives import Costs
from shipway.evidence.delong import auc_interval
from shipway.evidence.intervals import Interval, clopper_pearson, paired_proportions
from shipway.evidence.outcomes import Outcomes
from shipway.evidence.sums import confusion

PROPORTIONS = frozenset({"accuracy", "precision", "recall", "specificity"})
SAME_DENOMINATOR = frozenset({"accuracy", "recall", "specificity"})
_OF_ALL_CLASSES = frozenset({"f1", "balanced_accuracy", "macro_f1"})
_RARE = 10


def proportion_counts(metric: str, outcomes: Outcomes) -> tuple[int, int]:
    """Successes and rows of a proportion, on its own denominator."""
    k = len(outcomes.classes)
    table = confusion(outcomes, np.zeros(outcomes.n, dtype=np.int64), 1).reshape(k, k)
    if metric == "accuracy":
        return int(np.trace(table)), outcomes.n
    p = outcomes.positive
    match metric:
        case "precision":
            row = table[:, p]
        case "recall":
            row = table[p, :]
        case _:
            row, p = table[1 - p, :], 1 - p
    return int(row[p]), int(row.sum())


def decision_changes(metric: str, candidate: Outcomes, reference: Outcomes) -> tuple[int, int, int]:
    """Rows only the candidate has right, only the reference has right, and all that count."""
    positives = candidate.positives() if metric != "accuracy" else None
    counted = np.ones(candidate.n, dtype=np.bool_)
    if positives is not None:
        counted = positives if metric == "recall" else ~positives
    ours, theirs = (side.decided == side.truth for side in (candidate, reference))
    return (
        int((ours & ~theirs & counted).sum()),
        int((theirs & ~ours & counted).sum()),
        int(counted.sum()),
    )


def floor_interval(metric: str, outcomes: Outcomes, confidence: float) -> Interval | None:
    """The interval that the one from blocks may not be narrower than, None where none is needed.

    A handful of mistakes in all blocks together, or none at all, make the blocks look alike;
    then the interval for independent rows is the least that can be said.
    """
    if metric in PROPORTIONS:
        successes, n = proportion_counts(metric, outcomes)
        rare = min(successes, n - successes) < _RARE
        return clopper_pearson(successes, n, confidence) if rare else None
    if metric == "roc_auc":
        interval = auc_interval(outcomes.probabilities(), outcomes.positives(), confidence)
        return interval if "disjoint" in interval.method else None
    if metric in _OF_ALL_CLASSES | {"cost_per_1000"} and np.array_equal(
        outcomes.truth, outcomes.decided
    ):
        return _without_mistakes(metric, outcomes, confidence)
    return None


def difference_floor(
    metric: str, candidate: Outcomes, reference: Outcomes, confidence: float
) -> Interval | None:
    """The same for a difference on the same rows, where few rows are decided differently."""
    if metric not in SAME_DENOMINATOR:
        return None
    gained, lost, n = decision_changes(metric, candidate, reference)
    return paired_proportions(gained, lost, n, confidence) if gained + lost < _RARE else None


def _without_mistakes(metric: str, outcomes: Outcomes, confidence: float) -> Interval:
    """Every row is right: the share of mistakes is at most Clopper-Pearson's upper end.

    For the scores over classes the rarest class decides, as its recall may be that low.
    """
    counts = np.bincount(outcomes.truth, minlength=len(outcomes.classes))
    if metric == "cost_per_1000":
        costs = outcomes.costs or Costs()
        binary = max(costs.false_positive, costs.false_negative)
        dearest = binary if outcomes.task is Task.BINARY else costs.mistake
        share = clopper_pearson(0, outcomes.n, confidence).high or 0.0
        return Interval(0.0, 1000 * dearest * share, "Clopper-Pearson on no mistakes")
    rows = int(counts[outcomes.positive] if metric == "f1" else counts[counts > 0].min())
    low = clopper_pearson(rows, rows, confidence).low
    return Interval(low, 1.0, "Clopper-Pearson on no mistakes")


def at_least_as_wide(interval: Interval, other: Interval) -> Interval:
    """The union of both: with a handful of events, blocks may look alike by accident."""
    if interval.low is None or interval.high is None or other.low is None or other.high is None:
        return interval
    low, high = min(interval.low, other.low), max(interval.high, other.high)
    if (low, high) == (interval.low, interval.high):
        return interval
    return Interval(low, high, f"{interval.method}; at least as wide as {other.method}")
