"""DeLong's variance of an AUC, and of the difference of two AUCs on the same rows.

DeLong, DeLong & Clarke-Pearson 1988; the O(n log n) form by mid-ranks is Sun & Xu 2014. Rows are
taken as independent: with days or users as blocks, resample those instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log, sqrt

import numpy as np
from numpy.typing import NDArray

from shipway.evidence.intervals import Interval, clopper_pearson, normal_quantile
from shipway.evidence.outcomes import FloatArray
from shipway.evidence.ranking import mid_ranks


@dataclass(frozen=True, slots=True)
class Components:
    """An AUC with its structural components: of each positive (m,) and each negative (n,)."""

    auc: float
    of_positives: FloatArray
    of_negatives: FloatArray


def components(scores: FloatArray, positives: NDArray[np.bool_]) -> Components:
    """The structural components of the AUC (Sun & Xu 2014, eqs. 5 and 6); both classes occur."""
    ranks = mid_ranks(scores)
    m = int(positives.sum())
    n = len(scores) - m
    won = (ranks[positives] - mid_ranks(scores[positives])) / n
    lost = 1 - (ranks[~positives] - mid_ranks(scores[~positives])) / m
    return Components(float(won.mean()), won, lost)


def auc_variance(parts: Components) -> float:
    """The variance of the AUC; needs two rows of each class."""
    return _variance(parts.of_positives, parts.of_negatives)


def auc_interval(scores: FloatArray, positives: NDArray[np.bool_], confidence: float) -> Interval:
    """The interval of an AUC on the logit scale, which keeps it within 0 and 1 (Pepe 2003, 5.2).

    When the classes are told apart perfectly the variance is 0 and says nothing; then the
    interval is Clopper-Pearson's on as many independent pairs as the rarer class has rows.
    """
    parts = components(scores, positives)
    spread = sqrt(auc_variance(parts))
    if parts.auc in {0.0, 1.0}:
        pairs = min(len(parts.of_positives), len(parts.of_negatives))
        exact = clopper_pearson(round(pairs * parts.auc), pairs, confidence)
        return Interval(exact.low, exact.high, "Clopper-Pearson on disjoint pairs")
    if spread == 0:
        return Interval(parts.auc, parts.auc, "DeLong, logit scale")
    logit = log(parts.auc / (1 - parts.auc))
    half = normal_quantile(confidence) * spread / (parts.auc * (1 - parts.auc))
    return Interval(_expit(logit - half), _expit(logit + half), "DeLong, logit scale")


def auc_difference_interval(
    first: FloatArray, second: FloatArray, positives: NDArray[np.bool_], confidence: float
) -> Interval:
    """The interval of AUC(first) - AUC(second) on the same rows (DeLong 1988, eq. 4)."""
    one, other = components(first, positives), components(second, positives)
    spread = sqrt(
        _variance(
            one.of_positives - other.of_positives,
            one.of_negatives - other.of_negatives,
        )
    )
    difference = one.auc - other.auc
    half = normal_quantile(confidence) * spread
    return Interval(max(-1.0, difference - half), min(1.0, difference + half), "paired DeLong")


def _variance(of_positives: FloatArray, of_negatives: FloatArray) -> float:
    """Var = S10 / m + S01 / n, the S being sample variances of the components."""
    return float(
        of_positives.var(ddof=1) / len(of_positives) + of_negatives.var(ddof=1) / len(of_negatives)
    )


def _expit(value: float) -> float:
    return 1 / (1 + exp(-value)) if value >= 0 else exp(value) / (1 + exp(value))
