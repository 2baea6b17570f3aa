"""What the scores alone say a metric should be, and what one moved feature adds to that."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from shipway.domain.objectives import Costs
from shipway.evidence.estimate import ESTIMABLE, Calibration, estimate
from shipway.evidence.verdict import Measurement

_EFFECT_ROWS = 2000


def estimated(
    metric: str,
    scores: NDArray[np.float64],
    calibration: Calibration,
    *,
    threshold: float | None = None,
    costs: Costs | None = None,
    confidence: float = 0.95,
    seed: int = 0,
) -> Measurement | None:
    """The estimate of *metric* on *scores* (n,), None for one that cannot be estimated."""
    if metric not in ESTIMABLE or not len(scores):
        return None
    return estimate(
        metric,
        scores,
        calibration,
        threshold=0.5 if threshold is None else threshold,
        costs=costs,
        confidence=confidence,
        seed=seed,
    )


def effect(
    metric: str,
    scores: NDArray[np.float64],
    slots: NDArray[np.int64],
    reference_shares: NDArray[np.float64],
    calibration: Calibration,
    *,
    threshold: float | None = None,
    costs: Costs | None = None,
) -> float | None:
    """What the movement of one feature adds to the estimate of *metric*, in the metric's unit.

    *slots* (n,) is the bin of each row. The estimate on the window, less that on the window as it
    would be with the feature distributed as in training: rows are weighted by reference share
    over window share of their bin. Other features that move along with it are counted as its own,
    and a bin in which the window has no row at all cannot be: the effect is then too small.
    """
    window_shares = np.bincount(slots, minlength=len(reference_shares)) / len(slots)
    weights = reference_shares[slots] / window_shares[slots]
    if not weights.sum():
        return None
    order = np.argsort(scores, kind="stable")
    ordered = scores[order]
    found = [
        estimated(
            metric, _thinned(ordered, w[order]), calibration, threshold=threshold, costs=costs
        )
        for w in (np.ones(len(scores)), weights)
    ]
    if found[0] is None or found[1] is None or found[0].value is None or found[1].value is None:
        return None
    return found[0].value - found[1].value


def _thinned(ordered: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """At most 2,000 scores that stand for all, each as often as its weight says.

    Taken at even steps through the scores in order, which leaves next to no sampling noise.
    """
    size = min(_EFFECT_ROWS, len(ordered))
    ends = np.cumsum(weights)
    steps = (np.arange(size) + 0.5) / size * ends[-1]
    chosen: NDArray[np.float64] = ordered[np.searchsorted(ends, steps)]
    return chosen
