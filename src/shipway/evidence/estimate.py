"""How good a binary model is likely to be before labels come, from its calibrated scores.

Confidence-based performance estimation (CBPE): if a score of 0.3 still means 3 in 10, scores
alone give the expected confusion matrix. That *if* is the whole of it. What is estimated here is
always named so, is drawn apart from what was realised, and cannot see a change in how the features
relate to the outcome (concept drift): the model would go on being sure of the wrong thing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from shipway.domain.metrics import METRICS
from shipway.domain.objectives import Costs
from shipway.errors import DataError, NotEnoughData, UsageError
from shipway.evidence.intervals import normal_quantile
from shipway.evidence.outcomes import FloatArray
from shipway.evidence.ranking import mid_ranks, ratio
from shipway.evidence.verdict import Measurement

_ROWS_A_BIN = 50
_MOST_BINS = 200
_DRAWS = 400
_AUC_DRAWS = 200
_CELLS = 4_000_000
_SMALLEST = float(np.finfo(np.float64).eps)
_METHOD = "estimated from calibrated scores (CBPE)"
_CAVEAT = "estimated, not realised; holds only while a score means what it meant"


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """What a score means: the share of positives rises with ``scores`` through ``shares``.

    Knots of a monotone line, made from ``n`` held-out rows, plain enough to be kept as JSON.
    """

    scores: tuple[float, ...]
    shares: tuple[float, ...]
    n: int

    def probabilities(self, scores: FloatArray) -> FloatArray:
        """The calibrated probability of each of *scores* (n,); flat beyond the knots."""
        return np.asarray(np.interp(scores, self.scores, self.shares), dtype=np.float64)


def calibrate(scores: FloatArray, positives: NDArray[np.bool_]) -> Calibration:
    """Fit a calibration on held-out *scores* (n,) and whether each was a positive (n,).

    Isotonic regression (Zadrozny & Elkan 2002) over bins of equal mass with 50 rows or more,
    at most 200 of them; equal scores always share a bin. Raises
    :class:`~shipway.errors.NotEnoughData` below 50 rows and :class:`~shipway.errors.DataError` for
    scores that are not finite.
    """
    n = len(scores)
    if n < _ROWS_A_BIN:
        raise NotEnoughData(
            f"a calibration cannot be fitted on {n} rows",
            next_step=f"use at least {_ROWS_A_BIN} labelled rows that the model was not trained on",
        )
    if not np.isfinite(scores).all():
        raise DataError(
            "a score to calibrate is NaN or infinite", next_step="mend the model's probabilities"
        )
    bins = min(_MOST_BINS, n // _ROWS_A_BIN)
    edges = np.unique(np.quantile(scores, np.linspace(0, 1, bins + 1)[1:-1]))
    members = np.searchsorted(edges, scores)
    rows = np.bincount(members)
    full = rows > 0
    weights = rows[full].astype(np.float64)
    middles = np.bincount(members, scores)[full] / weights
    shares = np.bincount(members, positives)[full] / weights
    fitted = optimize.isotonic_regression(shares, weights=weights).x
    return Calibration(
        scores=tuple(middles.tolist()),
        shares=tuple(np.clip(fitted, 0.0, 1.0).tolist()),
        n=n,
    )


def estimate(
    metric: str,
    scores: FloatArray,
    calibration: Calibration,
    *,
    threshold: float = 0.5,
    costs: Costs | None = None,
    confidence: float = 0.95,
    seed: int = 0,
) -> Measurement:
    """The expected value of *metric* on unlabelled *scores* (n,), named as estimated.

    The interval says where the realised value of these very rows would lie if every label were
    drawn with its calibrated probability; it leaves out that the calibration is itself
    estimated and that days differ, so it is the least uncertainty there is. Raises
    :class:`~shipway.errors.UsageError` for a metric that cannot be estimated.
    """
    if metric not in ESTIMABLE:
        raise UsageError(
            f"{metric!r} cannot be estimated without labels",
            next_step=f"estimate one of {', '.join(sorted(ESTIMABLE))}",
        )
    n = len(scores)
    if n and not np.isfinite(scores).all():
        raise DataError("a score is NaN or infinite", next_step="mend the model's probabilities")
    value, draws = float("nan"), np.zeros(0)
    if n:
        chances = calibration.probabilities(scores)
        random = np.random.default_rng(seed)
        if metric == "roc_auc":
            value, draws = _expected_auc(scores, chances), _drawn_auc(scores, chances, random)
        elif metric in _LOSSES:
            value, draws = _of_losses(metric, scores, chances, random)
        else:
            value, draws = _of_decisions(
                metric, chances, scores >= threshold, costs or Costs(), random
            )
    draws = draws[np.isfinite(draws)]
    known = not np.isnan(value)
    half = normal_quantile(confidence) * float(draws.std()) if len(draws) else 0.0
    lowest, highest = METRICS[metric].bounds
    return Measurement(
        metric=metric,
        value=value if known else None,
        low=max(lowest, value - half) if known else None,
        high=min(highest, value + half) if known else None,
        n=n,
        method=_METHOD,
        confidence=confidence,
        note=_CAVEAT if known else "not defined on these scores",
    )


def _expected_auc(scores: FloatArray, chances: FloatArray) -> float:
    """Expected winning pairs over expected pairs, a row never being paired with itself."""
    unique, inverse = np.unique(scores, return_inverse=True)
    negatives = np.bincount(inverse, 1 - chances, len(unique))
    below = np.cumsum(negatives) - negatives / 2
    itself = float((chances * (1 - chances)).sum())
    wins = float((chances * below[inverse]).sum()) - itself / 2
    pairs = float(chances.sum() * (1 - chances).sum()) - itself
    return wins / pairs if pairs > 0 else float("nan")


def _drawn_auc(scores: FloatArray, chances: FloatArray, random: np.random.Generator) -> FloatArray:
    ranks = mid_ranks(scores)
    chunk = max(1, _CELLS // len(scores))
    parts = []
    for start in range(0, _AUC_DRAWS, chunk):
        labels = random.random((min(chunk, _AUC_DRAWS - start), len(scores))) < chances
        m = labels.sum(axis=1).astype(np.float64)
        parts.append(ratio(labels @ ranks - m * (m + 1) / 2, m * (len(scores) - m)))
    return np.concatenate(parts)


def _of_losses(
    metric: str, scores: FloatArray, chances: FloatArray, random: np.random.Generator
) -> tuple[float, FloatArray]:
    """A mean of row losses: each is one number for a negative and another for a positive."""
    if metric == "brier":
        as_negative, as_positive = scores**2, (1 - scores) ** 2
    else:
        kept = np.clip(scores, _SMALLEST, 1 - _SMALLEST)
        as_negative, as_positive = -np.log1p(-kept), -np.log(kept)
    slope = as_positive - as_negative
    value = float((as_negative + chances * slope).mean())
    spread = float(np.sqrt((chances * (1 - chances) * slope**2).sum())) / len(scores)
    return value, value + spread * random.standard_normal(_DRAWS)


def _of_decisions(
    metric: str,
    chances: FloatArray,
    decided: NDArray[np.bool_],
    costs: Costs,
    random: np.random.Generator,
) -> tuple[float, FloatArray]:
    """A metric of the confusion matrix, whose two columns hold independent counts."""

    def positives_among(rows: NDArray[np.bool_]) -> tuple[float, FloatArray]:
        inside = chances[rows]
        mean, spread = float(inside.sum()), float(np.sqrt((inside * (1 - inside)).sum()))
        drawn = mean + spread * random.standard_normal(_DRAWS)
        return mean, np.clip(drawn, 0.0, len(inside))

    tp, tp_drawn = positives_among(decided)
    fn, fn_drawn = positives_among(~decided)
    chosen, left = float(decided.sum()), float((~decided).sum())
    formula = _FORMULAS[metric]
    value = formula(Cells(left - fn, chosen - tp, fn, tp), costs)
    return float(value), np.asarray(
        formula(Cells(left - fn_drawn, chosen - tp_drawn, fn_drawn, tp_drawn), costs)
    )


class Cells(NamedTuple):
    """A confusion matrix, expected (numbers) or drawn (arrays of shape (draws,))."""

    tn: float | FloatArray
    fp: float | FloatArray
    fn: float | FloatArray
    tp: float | FloatArray


def _over(part: float | FloatArray, whole: float | FloatArray) -> FloatArray:
    return ratio(np.asarray(part, dtype=np.float64), np.asarray(whole, dtype=np.float64))


def _recall(cells: Cells, _: Costs) -> FloatArray:
    return _over(cells.tp, cells.tp + cells.fn)


def _specificity(cells: Cells, _: Costs) -> FloatArray:
    return _over(cells.tn, cells.tn + cells.fp)


def _cost_per_1000(cells: Cells, costs: Costs) -> FloatArray:
    mistakes = costs.false_positive * cells.fp + costs.false_negative * cells.fn
    return 1000 * _over(mistakes, cells.tn + cells.fp + cells.fn + cells.tp)


_FORMULAS: Mapping[str, Callable[[Cells, Costs], FloatArray]] = MappingProxyType(
    {
        "accuracy": lambda c, _: _over(c.tn + c.tp, c.tn + c.fp + c.fn + c.tp),
        "precision": lambda c, _: _over(c.tp, c.tp + c.fp),
        "recall": _recall,
        "specificity": _specificity,
        "f1": lambda c, _: _over(2 * c.tp, 2 * c.tp + c.fp + c.fn),
        "balanced_accuracy": lambda c, costs: (_recall(c, costs) + _specificity(c, costs)) / 2,
        "cost_per_1000": _cost_per_1000,
    }
)
_LOSSES = frozenset({"brier", "log_loss"})
ESTIMABLE = frozenset(_FORMULAS) | _LOSSES | {"roc_auc"}
