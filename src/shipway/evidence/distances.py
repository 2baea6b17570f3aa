"""How far two distributions over the same bins are apart, as numbers that do not grow with n.

Each function takes counts of shape (..., k) and gives shape (...). Shares are made by
:func:`shares`, which no empty bin can make explode.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from shipway.evidence.outcomes import FloatArray

SMALLEST_SHARE = 1e-4
PSEUDO_ROWS_A_BIN = 0.5


def shares(reference: ArrayLike, window: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Both counts as shares that can be divided and logged.

    Each side is drawn towards the pooled shares by half a pseudo-row a bin, and no share is
    below 1e-4. So a bin that is empty on both sides says nothing, one that is empty by the accident
    of a small window says little, and one bin adds to the PSI at most 9.3 times its share.
    """
    first, second = np.asarray(reference, np.float64), np.asarray(window, np.float64)
    pseudo = PSEUDO_ROWS_A_BIN * first.shape[-1]
    pooled = first + second
    pooled = pooled / np.maximum(pooled.sum(axis=-1, keepdims=True), 1)
    smoothed = [
        (side + pseudo * pooled) / (side.sum(axis=-1, keepdims=True) + pseudo)
        for side in (first, second)
    ]
    p, q = (np.maximum(side, SMALLEST_SHARE) for side in smoothed)
    return p, q


def psi(reference: ArrayLike, window: ArrayLike) -> FloatArray:
    """Population stability index ``sum (q - p) ln(q / p)``, from 0; 0.1 is a usual margin.

    It is the symmetric Kullback-Leibler divergence (Jeffreys 1946) of the binned shares.
    """
    p, q = shares(reference, window)
    return np.asarray(((q - p) * np.log(q / p)).sum(axis=-1), dtype=np.float64)


def jensen_shannon(reference: ArrayLike, window: ArrayLike) -> FloatArray:
    """Jensen-Shannon distance, 0 to 1: the root of the divergence in bits (Endres 2003)."""
    p, q = shares(reference, window)
    p, q = p / p.sum(axis=-1, keepdims=True), q / q.sum(axis=-1, keepdims=True)
    middle = (p + q) / 2
    bits = (p * np.log2(p / middle) + q * np.log2(q / middle)).sum(axis=-1) / 2
    return np.asarray(np.sqrt(np.maximum(bits, 0.0)), dtype=np.float64)


def l_infinity(reference: ArrayLike, window: ArrayLike) -> FloatArray:
    """The largest change of the share of one bin, 0 to 1."""
    first, second = np.asarray(reference, np.float64), np.asarray(window, np.float64)
    p = first / np.maximum(first.sum(axis=-1, keepdims=True), 1)
    q = second / np.maximum(second.sum(axis=-1, keepdims=True), 1)
    return np.asarray(np.abs(p - q).max(axis=-1), dtype=np.float64)


def wasserstein_scaled(
    reference: ArrayLike, window: ArrayLike, edges: Sequence[float]
) -> FloatArray:
    """How far mass has to be moved, in standard deviations of the reference.

    The counts have ``len(edges) + 1`` bins of numbers and then the missing, which take no part:
    all mass of a bin is taken to sit at its middle. NaN when either side has no number or the
    reference does not vary.
    """
    places = middles(edges)
    first = np.asarray(reference, np.float64)[..., : len(places)]
    second = np.asarray(window, np.float64)[..., : len(places)]
    p, q = (
        side / np.where((total := side.sum(axis=-1, keepdims=True)) > 0, total, np.nan)
        for side in (first, second)
    )
    gap = np.abs(np.cumsum(p - q, axis=-1))[..., :-1]
    distance = (gap * np.diff(places)).sum(axis=-1)
    mean = (p * places).sum(axis=-1, keepdims=True)
    spread = np.sqrt((p * (places - mean) ** 2).sum(axis=-1))
    return np.asarray(distance / np.where(spread > 0, spread, np.nan), dtype=np.float64)


def middles(edges: Sequence[float]) -> FloatArray:
    """Where the mass of each of ``len(edges) + 1`` bins is taken to sit: (len(edges) + 1,).

    The open bins at both ends sit half a neighbouring bin outside of the outermost edges.
    """
    known = np.asarray(edges, dtype=np.float64)
    inner = (known[:-1] + known[1:]) / 2
    first = (known[1] - known[0]) / 2 if len(known) > 1 else 0.5
    last = (known[-1] - known[-2]) / 2 if len(known) > 1 else 0.5
    return np.concatenate([[known[0] - first], inner, [known[-1] + last]])
