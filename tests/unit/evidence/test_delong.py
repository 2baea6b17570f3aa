"""DeLong's variances, against their definition, a bootstrap, and the truth."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from shipway.evidence.bootstrap import block_weights
from shipway.evidence.delong import (
    auc_difference_interval,
    auc_interval,
    auc_variance,
    components,
)
from shipway.evidence.outcomes import FloatArray
from shipway.evidence.ranking import mid_ranks, pair_wins, roc_auc


def two_models(
    random: np.random.Generator, n: int
) -> tuple[NDArray[np.bool_], FloatArray, FloatArray]:
    """Truth and two correlated scores with ties; AUCs near 0.80 and 0.74."""
    truth = random.random(n) < 0.3
    signal = truth + random.normal(size=n) * 0.8
    return truth, signal.round(1), (signal + random.normal(size=n) * 0.8).round(1)


def test_components_are_mean_wins() -> None:
    """A component is the share of the other class that a row wins against, ties half."""
    truth, scores, _ = two_models(np.random.default_rng(0), 120)
    parts = components(scores, truth)
    gaps = scores[truth][:, None] - scores[~truth][None, :]
    wins = (gaps > 0) + (gaps == 0) / 2
    assert parts.of_positives == pytest.approx(wins.mean(axis=1))
    assert parts.of_negatives == pytest.approx(wins.mean(axis=0))
    assert parts.auc == pytest.approx(wins.mean()) == pytest.approx(roc_auc(scores, truth))


def test_mid_ranks_share_ties() -> None:
    """Equal values share the mean of their ranks."""
    assert mid_ranks(np.array([3.0, 1.0, 3.0, 2.0])).tolist() == [3.5, 1.0, 3.5, 2.0]


def test_variance_agrees_with_bootstrap() -> None:
    """DeLong's variance, and that of the difference, are within 15 % of a bootstrap's."""
    random = np.random.default_rng(1)
    truth, first, second = two_models(random, 400)
    weights = block_weights(400, 2000, random)

    def resampled(scores: FloatArray) -> FloatArray:
        wins, p, q = pair_wins(scores, truth, np.arange(400), 400)
        won: FloatArray = np.einsum("rb,rb->r", weights @ wins, weights)
        return won / ((weights @ p) * (weights @ q))

    one, two = resampled(first), resampled(second)
    assert auc_variance(components(first, truth)) == pytest.approx(one.var(), rel=0.15)
    found = auc_difference_interval(first, second, truth, 0.95)
    assert found.low is not None
    assert found.high is not None
    assert (found.high - found.low) / 3.92 == pytest.approx((one - two).std(), rel=0.08)


def test_pair_wins_give_resampled_auc() -> None:
    """The squares of pair counts give exactly the AUC of the rows repeated, with ties."""
    random = np.random.default_rng(2)
    truth, scores, _ = two_models(random, 200)
    codes = random.integers(0, 7, 200)
    wins, p, q = pair_wins(scores, truth, codes, 7)
    weight = np.array([2, 0, 1, 3, 0, 1, 0])
    rows = np.repeat(np.arange(200), weight[codes])
    exact = roc_auc(scores[rows], truth[rows])
    assert weight @ wins @ weight / ((weight @ p) * (weight @ q)) == pytest.approx(exact)


def test_intervals_cover() -> None:
    """Both intervals cover the true AUC and difference at 93 % or more, of 80 rows."""
    random = np.random.default_rng(3)
    truth, first, second = two_models(random, 400_000)
    auc = roc_auc(first, truth)
    gap = auc - roc_auc(second, truth)
    hits = np.zeros(2)
    runs = 500
    for _ in range(runs):
        truth, first, second = two_models(random, 80)
        one = auc_interval(first, truth, 0.95)
        both = auc_difference_interval(first, second, truth, 0.95)
        assert one.low is not None and one.high is not None  # noqa: PT018
        assert both.low is not None and both.high is not None  # noqa: PT018
        hits += (one.low <= auc <= one.high, both.low <= gap <= both.high)
    assert (hits / runs >= 0.93).all()


def test_perfect_order_is_not_certain() -> None:
    """Twelve positives above all negatives do not prove an AUC of 1."""
    truth = np.arange(100) < 12
    found = auc_interval(-np.arange(100.0), truth, 0.95)
    assert found.low == pytest.approx(0.025 ** (1 / 12))
    assert found.high == 1.0
