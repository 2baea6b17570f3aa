"""Closed-form intervals keep their promise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from shipway.evidence.intervals import (
    clopper_pearson,
    paired_proportions,
    proportion,
    quantile,
    quantile_interval,
    wilson,
)


@given(st.integers(1, 500), st.data(), st.sampled_from([0.9, 0.95, 0.99]))
def test_proportions_agree(n: int, data: st.DataObject, confidence: float) -> None:
    """Wilson and Clopper-Pearson equal SciPy's at every count."""
    successes = data.draw(st.integers(0, n))
    test = stats.binomtest(successes, n)
    for found, theirs in (
        (wilson(successes, n, confidence), test.proportion_ci(confidence, "wilson")),
        (clopper_pearson(successes, n, confidence), test.proportion_ci(confidence, "exact")),
    ):
        assert found.low == pytest.approx(theirs.low, abs=1e-9)
        assert found.high == pytest.approx(theirs.high, abs=1e-9)


@pytest.mark.parametrize("share", [0.001, 0.01, 0.05, 0.2, 0.5, 0.97])
@pytest.mark.parametrize("n", [30, 200, 2000])
def test_proportion_covers(n: int, share: float) -> None:
    """The interval chosen covers the true share at 94 % or more, exactly summed over all counts."""
    counts = np.arange(n + 1)
    chances = stats.binom.pmf(counts, n, share)
    likely = counts[chances > 1e-12]
    covered = [
        count
        for count in likely
        if (found := proportion(int(count), n, 0.95)).low is not None
        and found.high is not None
        and found.low <= share <= found.high
    ]
    assert chances[covered].sum() >= 0.94


@pytest.mark.parametrize(("first", "second"), [(0.9, 0.9), (0.8, 0.75), (0.99, 0.97)])
def test_paired_proportions_cover(first: float, second: float) -> None:
    """The paired interval covers the true difference at 94 % or more."""
    random = np.random.default_rng(11)
    n, runs = 150, 1000
    common = random.random((runs, n))
    ours, theirs = common < first, (0.3 * random.random((runs, n)) + 0.7 * common) < second
    wide = np.random.default_rng(12)
    base = wide.random(2_000_000)
    truth = first - ((0.3 * wide.random(2_000_000) + 0.7 * base) < second).mean()
    hits = 0
    for a, b in zip(ours, theirs, strict=True):
        found = paired_proportions(int((a & ~b).sum()), int((b & ~a).sum()), n, 0.95)
        assert found.low is not None
        assert found.high is not None
        hits += found.low <= truth <= found.high
    assert hits / runs >= 0.94


def test_paired_interval_has_width_without_changes() -> None:
    """Two models that decide alike on every row are not proved equal by that."""
    found = paired_proportions(0, 0, 100, 0.95)
    assert found.low is not None
    assert found.high is not None
    assert found.low < -0.02
    assert found.high > 0.02


@pytest.mark.parametrize(("share", "n"), [(0.5, 20), (0.5, 500), (0.99, 1000)])
def test_quantile_covers(share: float, n: int) -> None:
    """The order statistics enclose the true quantile at 95 % or more, in a skewed population."""
    random = np.random.default_rng(7)
    truth = float(stats.expon.ppf(share))
    hits = 0
    for _ in range(600):
        found = quantile_interval(random.exponential(size=n), share, 0.95)
        low = -np.inf if found.low is None else found.low
        hits += low <= truth <= (np.inf if found.high is None else found.high)
    assert hits / 600 >= 0.94


def test_few_values_leave_quantile_open() -> None:
    """A 99th percentile has no upper end below 368 values, and one from there on."""
    assert quantile_interval(np.arange(367.0), 0.99, 0.95).high is None
    assert quantile_interval(np.arange(368.0), 0.99, 0.95).high == 367.0


def test_quantile_is_a_value() -> None:
    """A quantile is one of the values: the smallest that a share does not exceed."""
    assert quantile(np.array([4.0, 1.0, 3.0, 2.0]), 0.5) == 2.0
