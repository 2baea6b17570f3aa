"""The metrics that are functions of sums over rows, and those functions.

Because ``value(sums)`` needs nothing but sums, a resample of whole blocks is a weighting of the
per-block sums: a point value, a bootstrap of thousands and a jackknife are one matrix product.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from shipway.domain.metrics import Task
from shipway.domain.objectives import Costs
from shipway.evidence.outcomes import FloatArray, IntArray, Outcomes
from shipway.evidence.ranking import ratio
from shipway.evidence.reliability import gap_sums

_SMALLEST = float(np.finfo(np.float64).eps)
BlockSums = Callable[[Outcomes, IntArray, int], FloatArray]
ValueOfSums = Callable[[Outcomes, FloatArray], FloatArray]


@dataclass(frozen=True, slots=True)
class SumMetric:
    """A metric as a function of sums.

    ``sums(outcomes, codes, blocks)`` gives shape (blocks, k) for block codes (n,) in
    0..blocks-1; ``value(outcomes, sums)`` turns shape (..., k) into (...), NaN where undefined.
    """

    sums: BlockSums
    value: ValueOfSums


def block_totals(rows: FloatArray, codes: IntArray, blocks: int) -> FloatArray:
    """The sum of *rows* (n, k) within each block: shape (blocks, k)."""
    columns = [np.bincount(codes, column, blocks) for column in rows.T]
    return np.stack(columns, axis=1)


def confusion(outcomes: Outcomes, codes: IntArray, blocks: int) -> FloatArray:
    """Counts a block of (truth, decided) pairs, flattened truth-major: (blocks, k * k)."""
    k = len(outcomes.classes)
    cells = (codes * k + outcomes.truth) * k + outcomes.decided
    return np.bincount(cells, minlength=blocks * k * k).reshape(blocks, k * k).astype(np.float64)


def _square(outcomes: Outcomes, sums: FloatArray) -> FloatArray:
    k = len(outcomes.classes)
    return sums.reshape(*sums.shape[:-1], k, k)


def _binary(
    outcomes: Outcomes, sums: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """True negatives, false positives, false negatives, true positives."""
    p, counts = outcomes.positive, _square(outcomes, sums)
    q = 1 - p
    return counts[..., q, q], counts[..., q, p], counts[..., p, q], counts[..., p, p]


def _accuracy(outcomes: Outcomes, sums: FloatArray) -> FloatArray:
    counts = _square(outcomes, sums)
    return ratio(np.trace(counts, axis1=-2, axis2=-1), counts.sum(axis=(-2, -1)))


def _precision(outcomes: Outcomes, sums: FloatArray) -> FloatArray:
    _, fp, _, tp = _binary(outcomes, sums)
    return ratio(tp, tp + fp)


def _recall(outcomes: Outcomes, sums: FloatArray) -> FloatArray:
    _, _, fn, tp = _binary(outcomes, sums)
    return ratio(tp, tp + fn)


def _specificity(outcomes: Outcomes, sums: FloatArray) -> FloatArray:
    tn, fp, _, _ = _binary(outcomes, sums)
    return ratio(tn, tn + fp)


def _f1(outcomes: Outcomes, sums: FloatArray) -> FloatArray:
    _, fp, fn, tp = _binary(outcomes, sums)
    return ratio(2 * tp, 2 * tp + fp + fn)


def _mean_of_defined(values: FloatArray, defined: FloatArray) -> FloatArray:
    """The mean over the last axis of the *values* that are *defined*, NaN where none is."""
    known = defined > 0
    filled = np.where(known, values, 0.0)
    return ratio(filled.sum(axis=-1), known.sum(axis=-1).astype(np.float64))


def _balanced_accuracy(outcomes: Outcomes, sums: FloatArray) -> FloatArray:
    """Mean recall over the classes that the truth holds; NaN when it holds fewer than two."""
    counts = _square(outcomes, sums)
    present = counts.sum(axis=-1)
    hits = np.diagonal(counts, axis1=-2, axis2=-1)
    value = _mean_of_defined(ratio(hits, present), present)
    return np.where((present > 0).sum(axis=-1) < 2, np.nan, value)


def _macro_f1(outcomes: Outcomes, sums: FloatArray) -> FloatArray:
    """Mean F1 over the classes that occur in the truth or among the decisions."""
    counts = _square(outcomes, sums)
    hits = np.diagonal(counts, axis1=-2, axis2=-1)
    occurs = counts.sum(axis=-1) + counts.sum(axis=-2)
    return _mean_of_defined(ratio(2 * hits, occurs), occurs)


def _cost_per_1000(outcomes: Outcomes, sums: FloatArray) -> FloatArray:
    costs = outcomes.costs or Costs()
    counts = _square(outcomes, sums)
    n = counts.sum(axis=(-2, -1))
    if outcomes.task is Task.MULTICLASS:
        wrong = n - np.trace(counts, axis1=-2, axis2=-1)
        return 1000 * ratio(costs.mistake * wrong, n)
    _, fp, fn, _ = _binary(outcomes, sums)
    return 1000 * ratio(costs.false_positive * fp + costs.false_negative * fn, n)


def surprise(outcomes: Outcomes) -> FloatArray:
    """Negative log likelihood (n,) of the truth in nats; probabilities are kept off 0 and 1.

    The smallest probability is the spacing of floats at 1, as in scikit-learn, so that one
    certain mistake costs 36 nats and not infinity.
    """
    scores = outcomes.probabilities()
    if scores.ndim == 2:
        told = np.take_along_axis(scores, outcomes.truth[:, None], axis=1)[:, 0]
    else:
        told = np.where(outcomes.positives(), scores, 1 - scores)
    return -np.log(np.clip(told, _SMALLEST, 1 - _SMALLEST))


def _squared_gap(outcomes: Outcomes) -> FloatArray:
    return (outcomes.probabilities() - outcomes.positives()) ** 2


def _absolute_error(outcomes: Outcomes) -> FloatArray:
    return np.asarray(np.abs(outcomes.decided - outcomes.truth), dtype=np.float64)


def _squared_error(outcomes: Outcomes) -> FloatArray:
    return np.asarray((outcomes.decided - outcomes.truth) ** 2, dtype=np.float64)


def _mean_of(row_value: Callable[[Outcomes], FloatArray]) -> SumMetric:
    def sums(outcomes: Outcomes, codes: IntArray, blocks: int) -> FloatArray:
        values = row_value(outcomes)
        return block_totals(np.stack([values, np.ones_like(values)], axis=1), codes, blocks)

    return SumMetric(sums, lambda _, totals: ratio(totals[..., 0], totals[..., 1]))


def _rmse() -> SumMetric:
    mse = _mean_of(_squared_error)
    return SumMetric(mse.sums, lambda outcomes, totals: np.sqrt(mse.value(outcomes, totals)))


def _r2_sums(outcomes: Outcomes, codes: IntArray, blocks: int) -> FloatArray:
    """Squared error, count, and the truth's first two moments about its own mean."""
    centred = outcomes.truth - outcomes.truth.mean()
    rows = [_squared_error(outcomes), np.ones_like(centred), centred, centred**2]
    return block_totals(np.stack(rows, axis=1), codes, blocks)


def _r2(_: Outcomes, totals: FloatArray) -> FloatArray:
    error, n, first, second = np.moveaxis(totals, -1, 0)
    spread = second - ratio(first**2, n)
    spread = np.where(spread <= 1e-12 * np.abs(second), 0.0, spread)
    return 1 - ratio(error, spread)


def _ece(_: Outcomes, totals: FloatArray) -> FloatArray:
    return ratio(np.abs(totals[..., :-1]).sum(axis=-1), totals[..., -1])


SUM_METRICS: Mapping[str, SumMetric] = MappingProxyType(
    {
        "accuracy": SumMetric(confusion, _accuracy),
        "precision": SumMetric(confusion, _precision),
        "recall": SumMetric(confusion, _recall),
        "specificity": SumMetric(confusion, _specificity),
        "f1": SumMetric(confusion, _f1),
        "balanced_accuracy": SumMetric(confusion, _balanced_accuracy),
        "macro_f1": SumMetric(confusion, _macro_f1),
        "cost_per_1000": SumMetric(confusion, _cost_per_1000),
        "log_loss": _mean_of(surprise),
        "brier": _mean_of(_squared_gap),
        "ece": SumMetric(gap_sums, _ece),
        "mae": _mean_of(_absolute_error),
        "mse": _mean_of(_squared_error),
        "rmse": _rmse(),
        "r2": SumMetric(_r2_sums, _r2),
    }
)
