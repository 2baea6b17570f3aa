"""How much of the truth is in, and whether it is a fair sample of the predictions."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shipway.contract.bins import count, labels, reference_counts
from shipway.contract.schema import Bins, CategoricalBins
from shipway.evidence.distributions import chi_square_above
from shipway.monitoring.findings import Maturity, ScoreBin

_SKEW = 0.1
_SKEW_LEVEL = 0.01
_BIN_ROWS = 30


def score_bins(
    answers: NDArray[np.generic], known: NDArray[np.bool_], bins: Bins
) -> tuple[ScoreBin, ...]:
    """*answers* (n,) by *bins*, how many of each are labelled, and the share at the gate."""
    everything, with_truth = count(bins, answers), count(bins, answers[known])
    reference = reference_counts(bins)
    total = max(int(reference.sum()), 1)
    return tuple(
        ScoreBin(name=name, predictions=int(n), labelled=int(k), expected=float(r) / total)
        for name, n, k, r in zip(_names(bins), everything, with_truth, reference, strict=True)
        if n or r
    )


def _names(bins: Bins) -> list[str]:
    """Short names: a score's seventh digit tells nobody anything."""
    if isinstance(bins, CategoricalBins):
        return labels(bins)
    shown = [f"{edge:.3g}" for edge in bins.edges]
    between = [f"{low} to {high}" for low, high in pairwise(shown)]
    return [f"below {shown[0]}", *between, f"from {shown[-1]}", "missing"]


def maturity(
    predictions: pl.DataFrame,
    labelled: int,
    bins: tuple[ScoreBin, ...],
    *,
    needed_share: float,
    needed_rows: int,
) -> Maturity:
    """Whether *labelled* of *predictions* are enough to judge by, and a fair sample of *bins*."""
    n = predictions.height
    share = labelled / n if n else 0.0
    matured = labelled >= needed_rows and share >= needed_share
    skewed, spread = _skew(bins)
    return Maturity(
        predictions=n,
        labelled=labelled,
        share=share,
        needed_share=needed_share,
        needed_rows=needed_rows,
        matured=matured,
        skewed=skewed,
        note=_note(n, labelled, share, needed_share, needed_rows, skewed, spread),
    )


def _skew(bins: tuple[ScoreBin, ...]) -> tuple[bool, tuple[float, float]]:
    """Whether some scores are labelled more than others, and the least and largest share."""
    counted = [found for found in bins if found.predictions >= _BIN_ROWS]
    shares = [found.labelled / found.predictions for found in counted]
    if len(counted) < 2:
        return False, (0.0, 0.0)
    table = np.array([[b.labelled, b.predictions - b.labelled] for b in counted], dtype=np.float64)
    spread = (min(shares), max(shares))
    if spread[1] - spread[0] < _SKEW or not table.sum(axis=0).all():
        return False, spread
    return _chance(table) < _SKEW_LEVEL, spread


def _chance(table: NDArray[np.float64]) -> float:
    """Pearson's test of independence: how likely so uneven a *table* (k, 2) is by chance.

    Where two rows leave one degree of freedom, with Yates' correction.
    """
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    gaps = np.abs(table - expected)
    if len(table) == 2:
        gaps = np.maximum(gaps - 0.5, 0.0)
    return chi_square_above(float((gaps**2 / expected).sum()), len(table) - 1)


def _note(
    n: int,
    labelled: int,
    share: float,
    needed_share: float,
    needed_rows: int,
    skewed: bool,
    spread: tuple[float, float],
) -> str:
    parts = [f"{labelled:,} of {n:,} predictions are labelled ({share:.1%})"]
    if share < needed_share:
        parts.append(f"not judged before {needed_share:.0%} are")
    elif labelled < needed_rows:
        parts.append(f"not enough data: {needed_rows:,} labelled rows are needed")
    if skewed:
        parts.append(
            f"the labelled ones are no fair sample: from {spread[0]:.0%} to {spread[1]:.0%} of a"
            " score bin are labelled"
        )
    return "; ".join(parts)
