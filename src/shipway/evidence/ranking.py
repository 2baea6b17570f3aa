"""The metrics of order: ROC-AUC and average precision, exact on ties, under row weights too."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from shipway.evidence.outcomes import FloatArray, IntArray

_CELLS = 1_000_000  # rows times resamples held at once


def roc_auc(scores: FloatArray, positives: NDArray[np.bool_]) -> float:
    """The chance that a positive scores above a negative, a tie counting half; NaN for one class.

    The Mann-Whitney form, from mid-ranks: O(n log n).
    """
    m = int(positives.sum())
    n = len(scores) - m
    if m == 0 or n == 0:
        return float("nan")
    ranks = mid_ranks(scores)
    return float((ranks[positives].sum() - m * (m + 1) / 2) / (m * n))


def mid_ranks(values: FloatArray) -> FloatArray:
    """Ranks from 1, equal values sharing the mean of theirs (Sun & Xu 2014, algorithm 1)."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[inverse], dtype=np.float64)


def pair_wins(
    scores: FloatArray, positives: NDArray[np.bool_], codes: IntArray, blocks: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Wins of positives of block a over negatives of block b, positives and negatives a block.

    Shapes (blocks, blocks), (blocks,), (blocks,). With them the AUC of any resample of whole
    blocks with weights w is ``w W w / (w p * w q)``, exactly.
    """
    order = np.argsort(scores[positives], kind="stable")
    held = scores[positives][order]
    owner = codes[positives][order]
    against, foe = scores[~positives], codes[~positives]
    wins = np.zeros((blocks, blocks))
    for block in range(blocks):
        beaten = np.sort(against[foe == block])
        if len(beaten):
            below = np.searchsorted(beaten, held, "left") + np.searchsorted(beaten, held, "right")
            wins[:, block] = np.bincount(owner, below / 2, blocks)
    return (
        wins,
        np.bincount(owner, minlength=blocks).astype(np.float64),
        np.bincount(foe, minlength=blocks).astype(np.float64),
    )


def average_precision(scores: FloatArray, positives: NDArray[np.bool_]) -> float:
    """Area under the precision-recall curve by steps; NaN without positives.

    Tied scores enter together, as in scikit-learn: ``sum (R_k - R_{k-1}) P_k``.
    """
    everything = np.zeros(len(scores), dtype=np.int64)
    return float(weighted_average_precision(scores, positives, everything)(np.ones((1, 1)))[0])


def weighted_average_precision(
    scores: FloatArray, positives: NDArray[np.bool_], codes: IntArray
) -> Callable[[FloatArray], FloatArray]:
    """The average precision as a function of block weights (r, blocks), one value a row of them.

    Scores are sorted once; each row of weights is then two running sums over the rows. NaN where
    the positives weigh nothing.
    """
    order = np.argsort(-scores, kind="stable")
    ranked, owner = scores[order], codes[order]
    truth = positives[order].astype(np.float64)
    ends = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
    chunk = max(1, _CELLS // max(1, len(scores)))

    def of_chunk(weights: FloatArray) -> FloatArray:
        rows = weights[:, owner]
        taken = np.cumsum(rows, axis=1)[:, ends]
        found = np.cumsum(rows * truth, axis=1)[:, ends]
        precision = np.divide(found, taken, out=np.zeros_like(found), where=taken > 0)
        area = (np.diff(found, axis=1, prepend=0.0) * precision).sum(axis=1)
        return ratio(area, found[:, -1])

    def of_weights(weights: FloatArray) -> FloatArray:
        if not len(ranked):
            return np.full(len(weights), np.nan)
        starts = range(0, len(weights), chunk)
        return np.concatenate([of_chunk(weights[start : start + chunk]) for start in starts])

    return of_weights


def ratio(numerator: FloatArray, denominator: FloatArray) -> FloatArray:
    """The quotient, NaN where the denominator is 0."""
    filled = np.where(denominator == 0, np.nan, denominator)
    return np.asarray(numerator / filled, dtype=np.float64)
