"""Closed-form intervals: one proportion, two proportions of the same rows, a quantile."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np

from shipway.evidence.distributions import (
    beta_point,
    binomial_below,
    binomial_point,
    normal_point,
)
from shipway.evidence.outcomes import FloatArray

_RARE = 10  # successes or failures below which Wilson's coverage may dip


@dataclass(frozen=True, slots=True)
class Interval:
    """Two ends at some confidence, and the name of how they were made.

    An end of None is not known: the truth may lie anywhere on that side.
    """

    low: float | None
    high: float | None
    method: str


def normal_quantile(confidence: float) -> float:
    """The z with P(-z < Z < z) = *confidence*."""
    return float(normal_point(0.5 + confidence / 2))


def wilson(successes: int, n: int, confidence: float) -> Interval:
    """Wilson's score interval of a proportion (Wilson 1927; Brown, Cai & DasGupta 2001, eq. 4)."""
    z = normal_quantile(confidence)
    share = successes / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return Interval(max(0.0, centre - half), min(1.0, centre + half), "Wilson")


def clopper_pearson(successes: int, n: int, confidence: float) -> Interval:
    """The exact interval of a proportion (Clopper & Pearson 1934): covers at least as promised."""
    tail = (1 - confidence) / 2
    low = beta_point(tail, successes, n - successes + 1) if successes else 0.0
    high = beta_point(1 - tail, successes + 1, n - successes) if successes < n else 1.0
    return Interval(low, high, "Clopper-Pearson")


def proportion(successes: int, n: int, confidence: float) -> Interval:
    """Clopper-Pearson where successes or failures are fewer than 10, Wilson otherwise.

    Wilson's is shorter and covers as promised on average (Brown, Cai & DasGupta 2001), but its
    coverage dips for rare events, where a gate must not be fooled.
    """
    rare = min(successes, n - successes) < _RARE
    return (clopper_pearson if rare else wilson)(successes, n, confidence)


def paired_proportions(gained: int, lost: int, n: int, confidence: float) -> Interval:
    """The difference of two proportions of the same *n* rows, (gained - lost) / n.

    *gained* rows only the first had right, *lost* rows only the second. The adjusted Wald interval
    of Bonett & Price (2012), the estimating counterpart of McNemar's test; it has width even
    when no row differs.
    """
    first, second = (gained + 1) / (n + 2), (lost + 1) / (n + 2)
    half = normal_quantile(confidence) * sqrt((first + second - (first - second) ** 2) / (n + 2))
    centre = first - second
    return Interval(
        max(-1.0, centre - half), min(1.0, centre + half), "paired Bonett-Price (McNemar)"
    )


def quantile_interval(values: FloatArray, share: float, confidence: float) -> Interval:
    """The interval of the quantile *share* between two order statistics of *values* (n,).

    Distribution-free: the number of values below the quantile is binomial (Conover 1999, 3.2).
    With few values an end does not exist and is None: below 368 values there is no
    upper end of a 99th percentile at 95 %.
    """
    ordered = np.sort(values)
    n = len(ordered)
    tail = (1 - confidence) / 2
    # Ranks from 1: the largest r with P(K <= r - 1) <= tail, the smallest s with P(K >= s) <= tail.
    lower = binomial_point(tail, n, share)
    lower = lower if binomial_below(lower, n, share) <= tail else lower - 1
    upper = binomial_point(1 - tail, n, share) + 1
    return Interval(
        float(ordered[lower]) if lower >= 0 else None,
        float(ordered[upper - 1]) if upper <= n else None,
        "order statistics (binomial)",
    )


def quantile(values: FloatArray, share: float) -> float:
    """The smallest of *values* (n,) that at least a *share* of them does not exceed."""
    return float(np.quantile(values, share, method="inverted_cdf"))
