"""The few distributions that intervals and tests are made of, from ``scipy.special``.

``scipy.stats`` has them too. It takes half a second to import, which every command would pay,
and its general machinery takes a hundred times as long for one value.
"""

from __future__ import annotations

from math import ceil

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from shipway.evidence.outcomes import FloatArray


def normal_below(z: ArrayLike) -> FloatArray:
    """P(Z <= z), element by element."""
    return np.asarray(special.ndtr(np.asarray(z, dtype=np.float64)), dtype=np.float64)


def normal_point(share: ArrayLike) -> FloatArray:
    """The z with P(Z <= z) = *share*, element by element.

    >>> round(float(normal_point(0.975)), 4)
    1.96
    """
    return np.asarray(special.ndtri(np.asarray(share, dtype=np.float64)), dtype=np.float64)


def student_point(share: float, degrees: float) -> float:
    """The t with P(T <= t) = *share*, for T with *degrees* of freedom.

    >>> round(student_point(0.975, 10), 4)
    2.2281
    """
    return float(special.stdtrit(degrees, share))


def chi_square_above(value: float, degrees: float) -> float:
    """P(X > *value*) for X chi-square with *degrees* of freedom.

    >>> round(chi_square_above(3.841459, 1), 4)
    0.05
    """
    return float(special.chdtrc(degrees, value))


def f_above(value: float, upper: float, lower: float) -> float:
    """P(F > *value*) for F with *upper* and *lower* degrees of freedom.

    >>> round(f_above(4.964603, 1, 10), 4)
    0.05
    """
    return float(special.fdtrc(upper, lower, value))


def beta_point(share: float, a: float, b: float) -> float:
    """The x with P(X <= x) = *share*, for X of the beta distribution (a, b)."""
    return float(special.betaincinv(a, b, share))


def binomial_below(successes: int, n: int, share: float) -> float:
    """P(K <= *successes*) in *n* trials that each succeed with probability *share*."""
    return float(special.bdtr(successes, n, share)) if successes >= 0 else 0.0


def binomial_point(level: float, n: int, share: float) -> int:
    """The smallest k with P(K <= k) >= *level*.

    >>> binomial_point(0.5, 10, 0.5)
    5
    """
    near = ceil(special.bdtrik(level, n, share))
    while near > 0 and binomial_below(near - 1, n, share) >= level:
        near -= 1
    return near
