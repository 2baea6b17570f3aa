"""A metric with its interval, on labelled predictions of one model or of two on the same rows.

The choice of method is made here, once, and named in every measurement:

====================================  =====================================================
rows are independent                  a proportion: Wilson, or Clopper-Pearson when rare;
                                      AUC: DeLong; the rest: BCa bootstrap of rows
rows come in blocks (days, users)     everything: whole blocks are resampled
                                      (see :mod:`shipway.evidence.bootstrap`)
two models on the same rows           differences of the same resamples; paired DeLong; for
                                      proportions the interval that belongs to McNemar's test
====================================  =====================================================

More than :data:`MOST_GROUPS` blocks (or rows) are dealt at random into as many groups, which
are then resampled whole: sums of independent blocks are independent, so this costs no
validity and makes a million rows as cheap as five hundred.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import hypot

import numpy as np

from shipway.domain.metrics import METRICS
from shipway.errors import DataError
from shipway.evidence.bootstrap import resample
from shipway.evidence.counts import (
    PROPORTIONS,
    SAME_DENOMINATOR,
    at_least_as_wide,
    decision_changes,
    difference_floor,
    floor_interval,
    proportion_counts,
)
from shipway.evidence.delong import auc_difference_interval, auc_interval
from shipway.evidence.intervals import Interval, paired_proportions, proportion
from shipway.evidence.metrics import Point, point
from shipway.evidence.outcomes import FloatArray, IntArray, Outcomes
from shipway.evidence.statistics import deal, statistic
from shipway.evidence.verdict import Measurement

MINIMUM_ROWS = 30
MINIMUM_BLOCKS = 4
MINIMUM_OF_CLASS = 5
MOST_GROUPS = 500
# Average precision has no shortcut: each resample is a pass over all rows, so it takes the
# jackknife of at most 100 groups rather than thousands of replicates.
_MOST_GROUPS_OF = {"roc_auc": 250, "average_precision": 100}
_ABOUT_POSITIVES = frozenset({"recall", "f1", "roc_auc", "average_precision"})


@dataclass(frozen=True, slots=True)
class Evidence:
    """A value and a way to its interval at any confidence, so that it is worked out once."""

    metric: str
    point: Point
    n: int
    blocks: int | None
    interval: Callable[[float], Interval] | None
    of: str = ""

    def at(self, confidence: float) -> Measurement:
        """The measurement at *confidence*, without an interval where there is too little data."""
        interval = Interval(None, None, "none")
        if self.interval is not None:
            interval = self.interval(confidence)
        note = self.point.note
        if self.interval is not None and interval.low is None and interval.high is None:
            note = note or "not enough data: one block holds all that the metric rests on"
        return Measurement(
            metric=self.metric,
            value=self.point.value,
            low=interval.low,
            high=interval.high,
            n=self.n,
            method=interval.method,
            confidence=confidence,
            blocks=self.blocks,
            of=self.of,
            note=note,
        )


def measure(
    metric: str, outcomes: Outcomes, *, confidence: float = 0.95, seed: int = 0
) -> Measurement:
    """The value of *metric* with its interval; without one where the data do not suffice.

    Fewer than 30 rows, 4 blocks or (for metrics of order) 5 rows of either class give a value,
    no interval, and a note that says so. Equal inputs and *seed* give equal answers.
    """
    return evidence(metric, outcomes, seed=seed).at(confidence)


def measure_difference(
    metric: str,
    candidate: Outcomes,
    reference: Outcomes,
    *,
    confidence: float = 0.95,
    seed: int = 0,
) -> Measurement:
    """Candidate minus reference on the same rows, in the metric's unit, with its interval.

    Raises :class:`~shipway.errors.DataError` when the two do not hold the same truth in the
    same order.
    """
    return difference_evidence(metric, candidate, reference, seed=seed).at(confidence)


def evidence(metric: str, outcomes: Outcomes, *, seed: int = 0, of: str = "") -> Evidence:
    """What :func:`measure` measures, to be asked at several levels; *of* names a slice."""
    found = point(metric, outcomes)
    blocks = outcomes.block_count
    shortage = _shortage(metric, outcomes, blocks)
    if found.value is None or shortage:
        note = found.note if found.value is None else shortage
        return Evidence(metric, Point(found.value, note), outcomes.n, blocks, None, of)
    if blocks is None and metric in PROPORTIONS:
        counts = proportion_counts(metric, outcomes)
        return Evidence(metric, found, outcomes.n, None, lambda c: proportion(*counts, c), of)
    if blocks is None and metric == "roc_auc":
        scores, positives = outcomes.probabilities(), outcomes.positives()
        return Evidence(
            metric, found, outcomes.n, None, lambda c: auc_interval(scores, positives, c), of
        )
    codes, groups = deal(outcomes, _MOST_GROUPS_OF.get(metric, MOST_GROUPS), seed)
    resampled = resample(
        statistic(metric, outcomes, codes, groups),
        _sizes(metric, outcomes, codes, groups),
        bounds=METRICS[metric].bounds,
        seed=seed,
        biased=metric == "ece",
        bootstrap=metric != "average_precision",
    )
    kind = "blocks" if blocks is not None else "rows"

    def interval(level: float) -> Interval:
        found = _named(resampled.interval(level), kind, groups, blocks or outcomes.n)
        floor = floor_interval(metric, outcomes, level)
        return found if floor is None else at_least_as_wide(found, floor)

    return Evidence(metric, found, outcomes.n, blocks, interval, of)


def difference_evidence(
    metric: str, candidate: Outcomes, reference: Outcomes, *, seed: int = 0, of: str = ""
) -> Evidence:
    """What :func:`measure_difference` measures, to be asked at several levels."""
    _check_same_rows(candidate, reference)
    one, other = point(metric, candidate), point(metric, reference)
    n = candidate.n
    blocks = candidate.block_count
    if one.value is None or other.value is None:
        whose = "the candidate" if one.value is None else "the reference"
        note = f"{whose}: {one.note or other.note}"
        return Evidence(metric, Point(None, note), n, blocks, None, of)
    found = Point(one.value - other.value)
    shortage = _shortage(metric, candidate, blocks)
    if shortage:
        return Evidence(metric, Point(found.value, shortage), n, blocks, None, of)
    closed = _closed_difference(metric, candidate, reference, seed)
    if closed is not None:
        return Evidence(metric, found, n, blocks, closed, of)
    codes, groups = deal(candidate, _MOST_GROUPS_OF.get(metric, MOST_GROUPS), seed)
    left = statistic(metric, candidate, codes, groups)
    right = statistic(metric, reference, codes, groups)
    low, high = METRICS[metric].bounds
    resampled = resample(
        lambda weights: left(weights) - right(weights),
        _sizes(metric, candidate, codes, groups),
        bounds=(low - high, high - low),
        seed=seed,
        bootstrap=metric != "average_precision",
    )
    kind = "paired blocks" if blocks is not None else "paired rows"

    def interval(level: float) -> Interval:
        found = _named(resampled.interval(level), kind, groups, blocks or n)
        floor = difference_floor(metric, candidate, reference, level)
        return found if floor is None else at_least_as_wide(found, floor)

    return Evidence(metric, found, n, blocks, interval, of)


def _closed_difference(
    metric: str, candidate: Outcomes, reference: Outcomes, seed: int
) -> Callable[[float], Interval] | None:
    """The interval of a difference that needs no paired resample, None where it needs one."""
    if _same_answers(candidate, reference):
        return lambda _: Interval(0.0, 0.0, "identical answers on every row")
    if metric == "ece":
        sides = evidence(metric, candidate, seed=seed), evidence(metric, reference, seed=seed)
        return lambda level: _by_mover(*sides, level)
    if candidate.blocks is not None:
        return None
    if metric in SAME_DENOMINATOR:
        changed = decision_changes(metric, candidate, reference)
        return lambda level: paired_proportions(*changed, level)
    if metric == "roc_auc":
        first, second = candidate.probabilities(), reference.probabilities()
        truth = candidate.positives()
        return lambda level: auc_difference_interval(first, second, truth, level)
    return None


def _sizes(metric: str, outcomes: Outcomes, codes: IntArray, groups: int) -> FloatArray:
    """How many rows of each block the metric rests on: of the class that it looks at."""
    counted = np.ones(outcomes.n, dtype=np.bool_)
    if metric in _ABOUT_POSITIVES:
        counted = outcomes.positives()
    elif metric == "specificity":
        counted = ~outcomes.positives()
    return np.bincount(codes[counted], minlength=groups).astype(np.float64)


def _by_mover(candidate: Evidence, reference: Evidence, confidence: float) -> Interval:
    """A difference from the two intervals (method of variance estimates recovery, MOVER).

    Zou & Donner 2008, as if the two were independent. Taken for calibration errors, whose
    biases do not cancel in a paired resample; that both see the same rows makes it a little wide.
    """
    one, other = candidate.at(confidence), reference.at(confidence)
    ends = (one.value, one.low, one.high, other.value, other.low, other.high)
    if any(end is None for end in ends):
        return Interval(None, None, "no interval")
    value, low, high, than, than_low, than_high = (float(end or 0.0) for end in ends)
    return Interval(
        value - than - hypot(value - low, than_high - than),
        value - than + hypot(high - value, than - than_low),
        f"MOVER of two: {one.method}",
    )


def _shortage(metric: str, outcomes: Outcomes, blocks: int | None) -> str:
    """Why these rows are too few for an interval, or nothing."""
    if outcomes.n < MINIMUM_ROWS:
        return f"not enough data: {outcomes.n} rows, {MINIMUM_ROWS} needed"
    if blocks is not None and blocks < MINIMUM_BLOCKS:
        return f"not enough data: {blocks} blocks, {MINIMUM_BLOCKS} needed"
    if metric in {"roc_auc", "average_precision", "f1"}:
        positives = int(outcomes.positives().sum())
        rarer = positives if metric == "f1" else min(positives, outcomes.n - positives)
        if rarer < MINIMUM_OF_CLASS:
            return f"not enough data: {rarer} rows of the rarer class, {MINIMUM_OF_CLASS} needed"
    return ""


def _same_answers(candidate: Outcomes, reference: Outcomes) -> bool:
    same = np.array_equal(candidate.decided, reference.decided)
    if candidate.scores is None or reference.scores is None:
        return same and candidate.scores is reference.scores
    return same and np.array_equal(candidate.scores, reference.scores)


def _check_same_rows(candidate: Outcomes, reference: Outcomes) -> None:
    if candidate.n == reference.n and np.array_equal(candidate.truth, reference.truth):
        return
    raise DataError(
        f"two models can only be compared on the same rows: {candidate.n} and {reference.n} "
        "labelled predictions with different truth were given",
        next_step="let both models predict the same table, and keep its order",
    )


def _named(interval: Interval, kind: str, groups: int, units: int) -> Interval:
    grouping = f" in {groups} groups" if groups < units else ""
    return Interval(interval.low, interval.high, f"{interval.method} of {units} {kind}{grouping}")
