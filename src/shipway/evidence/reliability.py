"""Do probabilities mean what they say: reliability curve, calibration error, Brier's parts."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from shipway.evidence.outcomes import FloatArray, IntArray, Outcomes

BINS = 10


class ReliabilityBin(msgspec.Struct, frozen=True, kw_only=True):
    """Rows with like scores: what was said (``score``) against what came (``share``)."""

    low: float
    high: float
    n: int
    score: float
    share: float


class BrierParts(msgspec.Struct, frozen=True, kw_only=True):
    """Brier score = reliability - resolution + uncertainty + within (Murphy 1973).

    ``within`` is what is left because the scores inside a bin differ (Stephenson, Coelho and
    Jolliffe 2008); it is 0 when every bin holds one score.
    """

    brier: float
    reliability: float
    resolution: float
    uncertainty: float
    within: float


def equal_mass_bins(scores: FloatArray, bins: int = BINS) -> IntArray:
    """The bin 0..bins-1 of each score; edges are quantiles, so ties are never torn apart.

    With many ties some bins stay empty. The edges are those of scikit-learn's
    ``calibration_curve(strategy="quantile")``.
    """
    if not len(scores):
        return np.zeros(0, dtype=np.int64)
    edges = np.quantile(scores, np.linspace(0, 1, bins + 1)[1:-1])
    return np.searchsorted(edges, scores).astype(np.int64)


def gap_sums(outcomes: Outcomes, codes: IntArray, blocks: int) -> FloatArray:
    """Sums of score minus truth a block and score bin, then rows a block: (blocks, BINS + 1).

    The bins are those of the rows given and stay fixed when blocks are resampled, so that the
    calibration error is a function of these sums: ``sum |gap| / n``.
    """
    scores = outcomes.probabilities()
    bins = equal_mass_bins(scores)
    gaps = np.bincount(codes * BINS + bins, scores - outcomes.positives(), blocks * BINS)
    rows = np.bincount(codes, minlength=blocks).astype(np.float64)
    return np.column_stack([gaps.reshape(blocks, BINS), rows])


def reliability_curve(
    scores: FloatArray, positives: NDArray[np.bool_], bins: int = BINS
) -> tuple[ReliabilityBin, ...]:
    """What was said against what came, in equal-mass bins of *scores* (n,), empty ones left out."""
    members = equal_mass_bins(scores, bins)
    curve = []
    for index in np.unique(members):
        rows = members == index
        inside = scores[rows]
        curve.append(
            ReliabilityBin(
                low=float(inside.min()),
                high=float(inside.max()),
                n=int(rows.sum()),
                score=float(inside.mean()),
                share=float(positives[rows].mean()),
            )
        )
    return tuple(curve)


def brier_parts(scores: FloatArray, positives: NDArray[np.bool_], bins: int = BINS) -> BrierParts:
    """The Brier score of *scores* (n,) and its parts over equal-mass bins."""
    base = float(positives.mean())
    brier = float(((scores - positives) ** 2).mean())
    curve = reliability_curve(scores, positives, bins)
    n = len(scores)
    reliability = sum(part.n * (part.score - part.share) ** 2 for part in curve) / n
    resolution = sum(part.n * (part.share - base) ** 2 for part in curve) / n
    uncertainty = base * (1 - base)
    return BrierParts(
        brier=brier,
        reliability=reliability,
        resolution=resolution,
        uncertainty=uncertainty,
        within=brier - (reliability - resolution + uncertainty),
    )
