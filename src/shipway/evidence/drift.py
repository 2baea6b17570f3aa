"""Has a distribution moved: effect sizes with intervals, beyond chance, with days as the unit.

Everything works on counts over fixed reference bins (:mod:`shipway.contract.bins` makes them;
the last bin is the missing). With counts a day, days are the unit: the flights of a day share
its weather, so a week is nearer to seven observations than to six thousand, and an effect that
ignores it alarms every week.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import ArrayLike

from shipway.errors import DataError
from shipway.evidence.bootstrap import block_weights
from shipway.evidence.distances import jensen_shannon, l_infinity, psi, wasserstein_scaled
from shipway.evidence.distributions import (
    chi_square_above,
    f_above,
    normal_point,
    student_point,
)
from shipway.evidence.multiplicity import benjamini_hochberg, benjamini_yekutieli
from shipway.evidence.outcomes import FloatArray
from shipway.evidence.verdict import Measurement, Verdict

MINIMUM_ROWS = 200
MINIMUM_BLOCKS = 4
REPLICATES = 500
_SQUARED = frozenset({"psi"})  # of the size of a squared distance
_Distance = Callable[[FloatArray, FloatArray], FloatArray]


class DriftMeasure(msgspec.Struct, frozen=True, kw_only=True):
    """One distribution in a window against the reference.

    ``effects`` holds ``psi``, ``jensen_shannon``, ``l_infinity`` and, for numbers, ``wasserstein``
    (in standard deviations). ``chance`` is how much of each value sampling alone adds on
    average; ``p_value`` the chance of so large a change if nothing had moved, None when there is
    too little data. ``design_effect`` is by how much blocks inflate the variance (1 for
    independent rows).
    """

    effects: dict[str, Measurement]
    chance: dict[str, float]
    p_value: float | None
    n_reference: int
    n_window: int
    blocks: int | None = None
    design_effect: float = 1.0
    note: str = ""

    def beyond_chance(self, effect: str) -> float:
        """The value of *effect* less what chance adds to it, not below 0; 0 when unknown."""
        value = self.effects[effect].value if effect in self.effects else None
        return max(0.0, (value or 0.0) - self.chance.get(effect, 0.0))


class DriftFinding(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict on one feature: ``fail`` has moved, ``pass`` has not past the margin."""

    name: str
    measure: DriftMeasure
    effect: str
    margin: float
    adjusted_p: float | None
    verdict: Verdict
    reason: str


def drift(
    reference: ArrayLike,
    window: ArrayLike,
    *,
    edges: Sequence[float] | None = None,
    confidence: float = 0.95,
    minimum_rows: int = MINIMUM_ROWS,
    seed: int = 0,
) -> DriftMeasure:
    """Measure the *window* against the *reference*, counts over the same k bins.

    Each is of shape (k,) for independent rows or (blocks, k) with one row a block. When only
    the window comes in blocks the reference is taken to be as clumped as the window. *edges* are
    the len(k) - 2 edges of numeric bins. Fewer than *minimum_rows* rows or 4 blocks give values
    without interval or p-value, and a note.

    Intervals: both sides resampled (500 times, *seed*), the bias that resampling shows taken off,
    t on a root scale. The p-value: Pearson's chi-squared with the second-order correction for
    clusters of Rao & Scott (1984), in the F form of Thomas & Rao (1987).
    """
    before, now = _matrix(reference), _matrix(window)
    if before.shape[1] != now.shape[1]:
        raise DataError(
            f"the reference has {before.shape[1]} bins and the window {now.shape[1]}",
            next_step="count both with the same bins",
        )
    blocks = len(now) if np.ndim(window) == 2 else None
    totals = before.sum(axis=0), now.sum(axis=0)
    rows, reference_rows = int(totals[1].sum()), int(totals[0].sum())
    shortage = _shortage(rows, reference_rows, blocks, minimum_rows)
    spread = _Clustering.of(now) if blocks is not None else _Clustering()
    before_spread = _Clustering.of(before) if np.ndim(reference) == 2 else spread
    drawn = None if shortage else _resampled(before, now, before_spread, seed)
    effects, chance = {}, {}
    for name, distance in _distances(edges).items():
        blank = Measurement(
            metric=name,
            value=float(distance(*totals)),
            low=None,
            high=None,
            n=rows,
            method="none",
            confidence=confidence,
            blocks=blocks,
            note=shortage,
        )
        if not np.isnan(blank.value or 0.0):
            effects[name], chance[name] = _with_interval(blank, distance, drawn)
    return DriftMeasure(
        effects=effects,
        chance=chance,
        p_value=None if shortage else _p_value(*totals, before_spread, spread),
        n_reference=reference_rows,
        n_window=rows,
        blocks=blocks,
        design_effect=spread.inflation,
        note=shortage,
    )


def judge_drift(
    measures: Mapping[str, DriftMeasure],
    *,
    margin: float = 0.1,
    effect: str = "psi",
    confidence: float = 0.95,
    dependent: bool = True,
) -> tuple[DriftFinding, ...]:
    """One finding a feature, the farthest moved first, those with too little data last.

    ``fail``: the effect, less what chance adds, is past *margin* and the p-value, adjusted over
    all features, is at most 1 - *confidence*. ``undecided``: too little data, or past the
    margin but not beyond chance. ``pass``: the rest. P-values are adjusted after Benjamini and
    Yekutieli, or Hochberg when features are not *dependent*.
    """
    asked = [name for name, one in measures.items() if one.p_value is not None]
    raw = np.array([measures[name].p_value for name in asked], dtype=np.float64)
    adjust = benjamini_yekutieli if dependent else benjamini_hochberg
    adjusted = dict(zip(asked, adjust(raw).tolist(), strict=True)) if asked else {}
    findings = [
        _finding(name, one, effect, margin, adjusted.get(name), 1 - confidence)
        for name, one in measures.items()
    ]
    return tuple(
        sorted(
            findings,
            key=lambda one: (one.adjusted_p is None, -one.measure.beyond_chance(effect)),
        )
    )


class _Clustering(msgspec.Struct, frozen=True):
    """How alike the rows of a block are: mean and spread of the generalised design effects."""

    inflation: float = 1.0
    unevenness: float = 0.0
    blocks: int | None = None

    @classmethod
    def of(cls, counts: FloatArray) -> _Clustering:
        """From counts (blocks, k): the eigenvalues of the cluster covariance over the multinomial.

        Rao & Scott 1984, eqs. 3.3 to 3.6.
        """
        counts = counts[counts.sum(axis=1) > 0]
        blocks, n = len(counts), counts.sum()
        share = counts.sum(axis=0) / max(n, 1)
        counts, share = counts[:, share > 0], share[share > 0]
        if blocks < 2 or len(share) < 2:
            return cls(blocks=blocks)
        residuals = (counts - counts.sum(axis=1, keepdims=True) * share) / np.sqrt(share)
        values = np.linalg.svd(residuals, compute_uv=False) ** 2 * blocks / (blocks - 1) / n
        free = len(share) - 1
        mean = float(values.sum()) / free
        if mean <= 1:
            return cls(blocks=blocks)
        uneven = float((values**2).sum()) / (free * mean**2) - 1
        return cls(mean, max(0.0, uneven), blocks)


def _p_value(
    before: FloatArray, now: FloatArray, before_spread: _Clustering, spread: _Clustering
) -> float:
    first, second = before / before_spread.inflation, now / spread.inflation
    seen = first + second > 0
    first, second = first[seen], second[seen]
    free = len(first) - 1
    if free < 1:
        return 1.0
    tilt = np.sqrt(second.sum() / first.sum())
    chi2 = float(((tilt * first - second / tilt) ** 2 / (first + second)).sum())
    degrees = free / (1 + spread.unevenness)
    statistic = chi2 / (1 + spread.unevenness)
    if spread.blocks is None:
        return chi_square_above(statistic, degrees)
    return f_above(statistic / degrees, degrees, degrees * (spread.blocks - 1))


def _resampled(
    before: FloatArray, now: FloatArray, spread: _Clustering, seed: int
) -> tuple[FloatArray, FloatArray]:
    """Counts drawn anew (REPLICATES, k): blocks where there are some, rows otherwise.

    A reference without blocks is drawn as the fewer rows that it is worth under *spread*.
    """
    random = np.random.default_rng(seed)

    def draw(counts: FloatArray, inflation: float) -> FloatArray:
        if len(counts) >= MINIMUM_BLOCKS:
            return block_weights(len(counts), REPLICATES, random) @ counts
        total = counts.sum(axis=0)
        rows = max(1, round(float(total.sum()) / inflation))
        drawn = random.multinomial(rows, total / total.sum(), size=REPLICATES)
        return np.asarray(drawn * (float(total.sum()) / rows), dtype=np.float64)

    return draw(before, spread.inflation), draw(now, 1.0)


def _with_interval(
    blank: Measurement, distance: _Distance, drawn: tuple[FloatArray, FloatArray] | None
) -> tuple[Measurement, float]:
    """*blank* with the interval from the counts *drawn*, and what chance adds to its value."""
    if drawn is None or blank.value is None:
        return blank, 0.0
    replicates = distance(*drawn)
    low, high, chance = _interval(
        blank.metric,
        blank.value,
        replicates[np.isfinite(replicates)],
        blank.blocks,
        blank.confidence,
    )
    unit = "rows" if blank.blocks is None else "blocks"
    method = f"resampled {unit}, bias taken off"
    return msgspec.structs.replace(blank, low=low, high=high, method=method), chance


def _interval(
    name: str, value: float, replicates: FloatArray, blocks: int | None, confidence: float
) -> tuple[float, float, float]:
    """Low end, high end, and what chance adds to the value.

    Distances are like the length of a vector: its square has a bias that can be taken off, and
    the length itself is near normal.
    """
    power = 1 if name in _SQUARED else 2
    squares = replicates**power
    bias = max(0.0, float(squares.mean()) - value**power)
    centre = np.sqrt(max(0.0, value**power - bias))
    spread = float(np.sqrt(squares).std())
    quantile = 0.5 + confidence / 2
    t = float(normal_point(quantile))
    if blocks is not None:
        spread *= np.sqrt(blocks / (blocks - 1))
        t = student_point(quantile, blocks - 1)
    low, high = max(0.0, centre - t * spread), centre + t * spread
    if power == 1:
        low, high = low**2, high**2
    corrected = float(centre ** (2 / power))
    return min(float(low), value), max(float(high), value), value - corrected


def _distances(edges: Sequence[float] | None) -> dict[str, _Distance]:
    found: dict[str, _Distance] = {
        "psi": psi,
        "jensen_shannon": jensen_shannon,
        "l_infinity": l_infinity,
    }
    if edges:
        known = tuple(edges)
        found["wasserstein"] = lambda before, now: wasserstein_scaled(before, now, known)
    return found


def _matrix(counts: ArrayLike) -> FloatArray:
    """Counts as (blocks, k); blocks without a row are no blocks, unless all are."""
    table = np.atleast_2d(np.asarray(counts, dtype=np.float64))
    held = table.sum(axis=1) > 0
    return table[held] if held.any() else table[:1]


def _shortage(rows: int, reference_rows: int, blocks: int | None, minimum: int) -> str:
    if rows < minimum:
        return f"not enough data: {rows} rows in the window, {minimum} needed"
    if reference_rows < minimum:
        return f"not enough data: {reference_rows} rows in the reference, {minimum} needed"
    if blocks is not None and blocks < MINIMUM_BLOCKS:
        return f"not enough data: {blocks} blocks in the window, {MINIMUM_BLOCKS} needed"
    return ""


def _finding(
    name: str,
    measure: DriftMeasure,
    effect: str,
    margin: float,
    adjusted: float | None,
    alpha: float,
) -> DriftFinding:
    value = measure.effects[effect].value if effect in measure.effects else None
    clear = measure.beyond_chance(effect)
    if adjusted is None or value is None:
        verdict, reason = Verdict.UNDECIDED, measure.note or f"{effect} is not defined here"
    elif clear <= margin:
        verdict, reason = Verdict.PASS, f"{effect} {value:.3g} is not past {margin:.3g}"
        if value > margin:
            reason += f" once the {value - clear:.3g} that chance adds is taken off"
    elif adjusted > alpha:
        verdict = Verdict.UNDECIDED
        reason = f"{effect} {value:.3g} is past {margin:.3g} but may be chance (p {adjusted:.2g})"
    else:
        verdict = Verdict.FAIL
        reason = f"{effect} {value:.3g} is past {margin:.3g} and beyond chance (p {adjusted:.2g})"
    return DriftFinding(
        name=name,
        measure=measure,
        effect=effect,
        margin=margin,
        adjusted_p=adjusted,
        verdict=verdict,
        reason=reason,
    )
