"""Intervals from resampling whole blocks, for any statistic of block weights.

A :data:`Statistic` maps weights of shape (r, blocks) to r values: all ones give the value
itself, multinomial counts a bootstrap replicate, a zero among ones a jackknife value. It does not
matter to this module what is computed, and rows that are independent are blocks of their own.

Which interval. With many blocks the bias-corrected accelerated bootstrap (BCa; Efron 1987). With
fewer than :data:`FEW_BLOCKS` the bootstrap is too narrow, as it draws from a handful of
values: there a delete-one-block jackknife with Student's t is used, on a scale that keeps the
metric's bounds (MacKinnon, Nielsen & Webb 2023 on the same choice for clustered regression).
Degrees of freedom come from the effective number of blocks, ``(sum n)^2 / sum n^2``, since
one huge block among small ones is little more than one block. The tests hold the
coverage of both by simulation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt

import numpy as np
from scipy import special

from shipway.evidence.distributions import normal_below, normal_point, student_point
from shipway.evidence.intervals import Interval
from shipway.evidence.outcomes import FloatArray

Statistic = Callable[[FloatArray], FloatArray]

REPLICATES = 2000
FEW_BLOCKS = 30
_TAIL_REPLICATES = 5  # fewer replicates beyond an end, and the end is noise
_MISSING_SHARE = 0.01
_SHOWN_BIAS = sqrt(2) - 1
_LARGEST_EXPONENT = 700.0


@dataclass(frozen=True, slots=True)
class Scale:
    """A monotone map on which an estimate is closer to normal, and its inverse."""

    forward: Callable[[FloatArray], FloatArray]
    inverse: Callable[[FloatArray], FloatArray]


def _logit(values: FloatArray) -> FloatArray:
    return np.asarray(np.log(values) - np.log1p(-values), dtype=np.float64)


def _exp(values: FloatArray) -> FloatArray:
    return np.asarray(np.exp(np.minimum(values, _LARGEST_EXPONENT)), dtype=np.float64)


def _itself(values: FloatArray) -> FloatArray:
    return values


def _log_below_one(values: FloatArray) -> FloatArray:
    return np.asarray(-np.log1p(-values), dtype=np.float64)


def _below_one(values: FloatArray) -> FloatArray:
    return np.asarray(-np.expm1(np.minimum(-values, _LARGEST_EXPONENT)), dtype=np.float64)


def scale_for(bounds: tuple[float, float]) -> Scale:
    """Logit between 0 and 1, log from 0 on, ``-log(1 - x)`` up to 1, the identity otherwise."""
    low_end, high_end = np.isfinite(bounds[0]), np.isfinite(bounds[1])
    if low_end and high_end and bounds == (0.0, 1.0):
        return Scale(_logit, special.expit)
    if low_end and not high_end and bounds[0] == 0:
        return Scale(np.log, _exp)
    if high_end and not low_end and bounds[1] == 1:
        return Scale(_log_below_one, _below_one)
    return Scale(_itself, _itself)


@dataclass(frozen=True, slots=True)
class Resampled:
    """A statistic's value with what resampling says about it; made once, asked at any level.

    ``left_out`` (blocks,) are the jackknife values; ``replicates`` the bootstrap's, None where
    blocks are too few for it. ``effective`` is the effective number of blocks.
    """

    value: float
    left_out: FloatArray
    replicates: FloatArray | None
    effective: float
    bounds: tuple[float, float]
    biased: bool = False

    def interval(self, confidence: float) -> Interval:
        """The interval at *confidence*; ends are None when a resample has no value."""
        if not np.isfinite(self.left_out).all():
            return Interval(None, None, "no interval")
        replicates = self.replicates
        if replicates is None or np.isnan(replicates).mean() > _MISSING_SHARE:
            return self._clip(
                jackknife_t(self.value, self.left_out, self.effective, confidence, self.bounds)
            )
        known = replicates[np.isfinite(replicates)]
        if self.biased:
            return self._clip(bias_stretched_t(self.value, known, self.effective, confidence))
        levels = _expanded_levels(confidence, self.effective)
        if len(known) * levels[0] < _TAIL_REPLICATES:
            return self._clip(
                jackknife_t(self.value, self.left_out, self.effective, confidence, self.bounds)
            )
        return self._clip(bca(self.value, known, self.left_out, levels))

    def _clip(self, interval: Interval) -> Interval:
        low, high = interval.low, interval.high
        return Interval(
            None if low is None else float(min(max(low, self.bounds[0]), self.value)),
            None if high is None else float(max(min(high, self.bounds[1]), self.value)),
            interval.method,
        )


def resample(
    statistic: Statistic,
    sizes: FloatArray,
    *,
    bounds: tuple[float, float],
    seed: int,
    replicates: int = REPLICATES,
    biased: bool = False,
    bootstrap: bool = True,
) -> Resampled:
    """Ask *statistic* for its value, its jackknife and, with blocks enough, its bootstrap.

    *sizes* (blocks,) are the rows of each block. *biased* is for a statistic that errs
    upwards in small samples (calibration error): its interval makes room for that bias. Without
    *bootstrap* the jackknife serves, however many the blocks.
    """
    blocks = len(sizes)
    value = float(statistic(np.ones((1, blocks)))[0])
    left_out = statistic(1.0 - np.eye(blocks))
    drawn = None
    if bootstrap and (blocks >= FEW_BLOCKS or biased):
        drawn = statistic(block_weights(blocks, replicates, np.random.default_rng(seed)))
    effective = float(sizes.sum() ** 2 / (sizes**2).sum())
    return Resampled(value, left_out, drawn, effective, bounds, biased)


def block_weights(blocks: int, replicates: int, random: np.random.Generator) -> FloatArray:
    """How often each block is drawn in each replicate: (replicates, blocks), rows sum to blocks."""
    drawn = random.integers(0, blocks, size=(replicates, blocks))
    cells = (drawn + np.arange(replicates)[:, None] * blocks).ravel()
    counts = np.bincount(cells, minlength=replicates * blocks)
    return counts.reshape(replicates, blocks).astype(np.float64)


def percentile(replicates: FloatArray, levels: tuple[float, float]) -> Interval:
    """The quantiles of *replicates* at *levels* (Efron 1979)."""
    low, high = np.quantile(replicates, levels)
    return Interval(float(low), float(high), f"percentile bootstrap, {len(replicates)} resamples")


def bca(
    value: float, replicates: FloatArray, left_out: FloatArray, levels: tuple[float, float]
) -> Interval:
    """Bias-corrected accelerated interval (Efron 1987, eqs. 2.3 and 6.6), ties counting half.

    *left_out* are the jackknife values from which the acceleration comes. Without any spread
    the interval is the value itself.
    """
    name = f"BCa bootstrap, {len(replicates)} resamples"
    below = (replicates < value).mean() + (replicates == value).mean() / 2
    gaps = left_out.mean() - left_out
    squares = float((gaps**2).sum())
    if squares == 0 or replicates.min() == replicates.max():
        return Interval(value, value, name)
    resolution = 0.5 / len(replicates)
    bias = normal_point(min(max(float(below), resolution), 1 - resolution))
    acceleration = float((gaps**3).sum()) / (6 * squares**1.5)
    z = normal_point(levels)
    moved = normal_below(bias + (bias + z) / (1 - acceleration * (bias + z)))
    low, high = np.quantile(replicates, moved)
    return Interval(float(low), float(high), name)


def jackknife_t(
    value: float,
    left_out: FloatArray,
    effective: float,
    confidence: float,
    bounds: tuple[float, float] = (-np.inf, np.inf),
) -> Interval:
    """Delete-one-block jackknife with Student's t, about the value (CV3), within *bounds*."""
    blocks = len(left_out)
    degrees = max(1.0, effective - 1)
    name = f"delete-one-block jackknife, t with {degrees:.3g} degrees of freedom"
    scale = scale_for(bounds)
    inside = np.append(left_out, value)
    if (inside <= bounds[0]).any() or (inside >= bounds[1]).any():
        scale = Scale(_itself, _itself)
    centre = float(scale.forward(np.array(value)))
    gaps = scale.forward(left_out) - centre
    half = student_point(0.5 + confidence / 2, degrees) * sqrt(
        (blocks - 1) / blocks * float((gaps**2).sum())
    )
    low, high = scale.inverse(np.array([centre - half, centre + half]))
    return Interval(float(low), float(high), name)


def bias_stretched_t(
    value: float, replicates: FloatArray, effective: float, confidence: float
) -> Interval:
    """t standard errors about the value, stretched on one side by the largest bias there can be.

    For ``|gap|`` with a true gap of 0 the expected bias is ``E|Z|`` standard errors, of which a
    bootstrap, which starts from the observed gap, shows only the share sqrt(2) - 1. Elsewhere
    it shows more of less. So the end on the side of the bias moves out by the bootstrap's bias
    over that share, and the other end stays.
    """
    degrees = max(1.0, effective - 1)
    bias = float(replicates.mean()) - value
    spread = float(replicates.std()) * sqrt(effective / max(1.0, effective - 1))
    half = student_point(0.5 + confidence / 2, degrees) * spread
    return Interval(
        value - half - max(0.0, bias) / _SHOWN_BIAS,
        value + half - min(0.0, bias) / _SHOWN_BIAS,
        f"bias-stretched bootstrap, {len(replicates)} resamples, t with {degrees:.3g} "
        "degrees of freedom",
    )


def _expanded_levels(confidence: float, effective: float) -> tuple[float, float]:
    """Quantile levels that undo the narrowness of a bootstrap of few blocks.

    ``Phi(sqrt(b / (b - 1)) t_{b-1})`` in place of the plain tail (Hesterberg 2015, section 5.3).
    """
    t = student_point(0.5 + confidence / 2, max(1.0, effective - 1))
    tail = float(normal_below(-t * sqrt(effective / max(1e-9, effective - 1))))
    return tail, 1 - tail
