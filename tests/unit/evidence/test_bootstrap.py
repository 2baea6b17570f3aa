"""Resampling whole blocks."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from shipway.evidence.bootstrap import (
    FEW_BLOCKS,
    bca,
    block_weights,
    jackknife_t,
    percentile,
    resample,
)
from shipway.evidence.outcomes import FloatArray

NOWHERE = (-np.inf, np.inf)


def test_weights_draw_every_block_fairly() -> None:
    """Each replicate draws as many blocks as there are, each equally often."""
    weights = block_weights(13, 4000, np.random.default_rng(0))
    assert (weights.sum(axis=1) == 13).all()
    assert weights.mean(axis=0) == pytest.approx(np.ones(13), abs=0.08)
    assert weights.var(axis=0) == pytest.approx(np.full(13, 12 / 13), abs=0.12)


def test_jackknife_of_mean_is_students() -> None:
    """For the mean of single rows the jackknife interval is Student's."""
    values = np.random.default_rng(1).normal(size=9)
    left_out = (values.sum() - values) / 8
    found = jackknife_t(float(values.mean()), left_out, 9.0, 0.9)
    expected = stats.t.interval(0.9, 8, values.mean(), stats.sem(values))
    assert (found.low, found.high) == pytest.approx(expected)


def test_bca_agrees_with_scipy() -> None:
    """BCa and percentile intervals of a skewed mean equal SciPy's, up to resampling noise."""
    random = np.random.default_rng(2)
    values = random.exponential(size=60)
    weights = block_weights(60, 20_000, random)
    replicates = weights @ values / 60
    levels = (0.025, 0.975)
    ours = bca(float(values.mean()), replicates, (values.sum() - values) / 59, levels)
    plain = percentile(replicates, levels)
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="BCa", rng=random
    ).confidence_interval
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.02)
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", rng=random
    ).confidence_interval
    assert (plain.low, plain.high) == pytest.approx((theirs.low, theirs.high), abs=0.02)


def of_ratio(totals: FloatArray, rows: FloatArray, seed: int = 0) -> tuple[float, float, str]:
    found = resample(
        lambda weights: (weights @ totals) / (weights @ rows), rows, bounds=NOWHERE, seed=seed
    ).interval(0.95)
    assert found.low is not None
    assert found.high is not None
    return found.low, found.high, found.method


@pytest.mark.parametrize("blocks", [4, 7, FEW_BLOCKS, 80])
def test_mean_of_uneven_blocks_is_covered(blocks: int) -> None:
    """The interval covers a mean at 93 % or more whether blocks are few or many, and uneven."""
    random = np.random.default_rng(blocks)
    runs, hits = 300, 0
    for _ in range(runs):
        rows = random.integers(5, 60, blocks).astype(np.float64)
        totals = rows * random.normal(3, 1, blocks) + np.sqrt(rows) * random.normal(size=blocks)
        low, high, _ = of_ratio(totals, rows)
        hits += low <= 3 <= high
    assert hits / runs >= 0.93


def test_plain_percentile_would_be_too_narrow() -> None:
    """The plain percentile bootstrap of six blocks misses far oftener than it says."""
    random = np.random.default_rng(4)
    hits = 0
    for _ in range(300):
        values = random.normal(size=6)
        replicates = block_weights(6, 500, random) @ values / 6
        found = percentile(replicates, (0.025, 0.975))
        assert found.low is not None and found.high is not None  # noqa: PT018
        hits += found.low <= 0 <= found.high
    assert hits / 300 < 0.9


def test_one_huge_block_lowers_degrees_of_freedom() -> None:
    """A block that holds most rows leaves hardly any degrees of freedom."""
    even = np.full(10, 50.0)
    uneven = np.array([5000.0, *[5.0] * 9])
    assert "t with 9 degrees" in of_ratio(even * 0.3, even)[2]
    assert "t with 1 degrees" in of_ratio(uneven * 0.3, uneven)[2]


def test_same_seed_same_interval() -> None:
    """Equal data and seed give the same interval; another seed nearly the same."""
    random = np.random.default_rng(6)
    rows = np.full(50, 10.0)
    totals = random.exponential(size=50) * 10
    assert of_ratio(totals, rows) == of_ratio(totals, rows)
    assert of_ratio(totals, rows)[0] == pytest.approx(of_ratio(totals, rows, seed=1)[0], abs=0.05)


def test_lost_value_gives_no_interval() -> None:
    """A statistic that is not defined without one of the blocks has no interval."""
    only = np.array([1.0, 0.0, 0.0, 0.0, 0.0])

    def of_first(weights: FloatArray) -> FloatArray:
        weight = weights @ only
        return np.where(weight > 0, 1.0, np.nan)

    found = resample(of_first, np.ones(5), bounds=(0.0, 1.0), seed=0).interval(0.95)
    assert found.low is None
    assert found.high is None
