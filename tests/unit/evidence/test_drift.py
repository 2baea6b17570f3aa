"""Drift: effect sizes that do not explode, with days as the unit."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats
from scipy.spatial import distance

from shipway.errors import DataError
from shipway.evidence.distances import (
    jensen_shannon,
    l_infinity,
    middles,
    psi,
    wasserstein_scaled,
)
from shipway.evidence.drift import DriftMeasure, drift, judge_drift
from shipway.evidence.outcomes import FloatArray
from shipway.evidence.verdict import Verdict

EVEN = np.r_[0, np.full(10, 0.1), 0]
EDGES = tuple(range(11))


def counted(
    random: np.random.Generator, days: int, shares: FloatArray, *, alike: float | None = 50
) -> FloatArray:
    """Counts a day of 400 rows; the smaller *alike*, the more the rows of a day are alike."""
    out = np.zeros((days, len(shares)))
    used = shares > 0
    for day in range(days):
        own = shares[used] if alike is None else random.dirichlet(shares[used] * alike)
        out[day, used] = random.multinomial(400, own)
    return out


counts = arrays(np.int64, 8, elements=st.integers(0, 5000))


@given(counts, counts)
def test_distances_stay_finite(before: np.ndarray, now: np.ndarray) -> None:
    """No pair of counts, empty bins and empty sides included, gives an infinite distance."""
    assert 0 <= float(psi(before, now)) <= 20
    assert 0 <= float(jensen_shannon(before, now)) <= 1
    assert 0 <= float(l_infinity(before, now)) <= 1


@given(counts)
def test_same_counts_are_no_distance(one: np.ndarray) -> None:
    """A distribution is at distance 0 from itself, at any size."""
    for measured in (psi, jensen_shannon, l_infinity):
        assert float(measured(one, one)) == pytest.approx(0, abs=1e-6)
        assert float(measured(one, one * 7)) == pytest.approx(0, abs=0.02)


def test_distances_agree() -> None:
    """With full bins the distances equal SciPy's and the textbook PSI."""
    random = np.random.default_rng(0)
    p, q = random.dirichlet(np.full(9, 5), 2)
    before, now = p * 1e7, q * 1e7
    assert float(psi(before, now)) == pytest.approx(((q - p) * np.log(q / p)).sum(), rel=1e-4)
    assert float(jensen_shannon(before, now)) == pytest.approx(
        distance.jensenshannon(p, q, base=2), rel=1e-4
    )
    assert float(l_infinity(before, now)) == pytest.approx(np.abs(p - q).max())
    places = middles(range(7))
    mean = (p[:8] * places).sum() / p[:8].sum()
    spread = np.sqrt((p[:8] * (places - mean) ** 2).sum() / p[:8].sum())
    assert float(wasserstein_scaled(before, now, range(7))) == pytest.approx(
        stats.wasserstein_distance(places, places, p[:8], q[:8]) / spread
    )


def test_empty_bin_does_not_explode() -> None:
    """A category new with 1 % of a window moves the PSI by less than the usual margin."""
    before = np.array([100_000, 100_000, 0])
    assert float(psi(before, [990, 990, 20])) < 0.06


def test_shift_of_one_deviation_is_one() -> None:
    """Numbers that all move by one standard deviation are at distance 1."""
    values = np.random.default_rng(1).normal(size=200_000)
    edges = np.linspace(-4, 5, 181)
    before, now = (
        np.append(np.bincount(np.searchsorted(edges, side), minlength=182), 0)
        for side in (values, values + 1)
    )
    assert float(wasserstein_scaled(before, now, edges.tolist())) == pytest.approx(1, abs=0.01)


def test_no_numbers_have_no_wasserstein() -> None:
    """A window of missing values has no place to measure from."""
    found = drift([0, 500, 500, 0, 0], [0, 0, 0, 0, 300], edges=(0, 1, 2))
    assert "wasserstein" not in found.effects
    assert found.effects["psi"].value is not None


@pytest.mark.parametrize(("alike", "most"), [(None, 0.06), (50, 0.06), (5, 0.08)])
def test_nothing_moved_is_seldom_alarmed(alike: float | None, most: float) -> None:
    """When days differ and nothing moved, p-values below 0.05 come about as often as they say."""
    random = np.random.default_rng(2)
    runs = 200
    naive = honest = 0
    for _ in range(runs):
        before = counted(random, 60, EVEN, alike=alike).sum(axis=0)
        now = counted(random, 7, EVEN, alike=alike)
        p = drift(before, now).p_value
        rows = drift(before, now.sum(axis=0)).p_value
        assert p is not None and rows is not None  # noqa: PT018
        honest += p <= 0.05
        naive += rows <= 0.05
    assert honest / runs <= most
    assert naive / runs <= 0.1 if alike is None else naive / runs > 0.9


def test_true_effect_is_covered() -> None:
    """Every effect size is inside its interval at 90 % or more, when the distribution did move."""
    random = np.random.default_rng(3)
    moved = EVEN * np.r_[0, np.linspace(0.5, 1.5, 10), 0]
    moved = moved / moved.sum()
    exact = drift(EVEN * 1e9, moved * 1e9, edges=EDGES).effects
    hits = dict.fromkeys(exact, 0)
    runs = 150
    for _ in range(runs):
        found = drift(
            counted(random, 60, EVEN).sum(axis=0), counted(random, 10, moved), edges=EDGES
        )
        for name, effect in found.effects.items():
            true = exact[name].value
            assert effect.low is not None and effect.high is not None and true is not None  # noqa: PT018
            hits[name] += effect.low <= true <= effect.high
    assert min(hits.values()) / runs >= 0.9


def test_chance_is_what_nothing_adds() -> None:
    """Where nothing moved, the value less what chance adds is near nothing."""
    random = np.random.default_rng(4)
    left = [
        (found.effects["psi"].value, found.beyond_chance("psi"))
        for _ in range(60)
        for found in [drift(counted(random, 60, EVEN).sum(axis=0), counted(random, 7, EVEN))]
    ]
    values, beyond = np.array(left, dtype=np.float64).T
    assert beyond.mean() < 0.45 * values.mean()


@pytest.mark.parametrize(
    ("window", "note"),
    [
        (np.full(12, 10), "120 rows"),
        (np.full((3, 12), 100), "3 blocks"),
        (np.zeros(12), "0 rows"),
    ],
)
def test_too_little_is_never_ok(window: FloatArray, note: str) -> None:
    """Below the minimum of rows or blocks there is no p-value, and the verdict is undecided."""
    found = drift(np.full(12, 1000), window)
    assert found.p_value is None
    assert note in found.note
    (finding,) = judge_drift({"dest": found})
    assert finding.verdict is Verdict.UNDECIDED
    assert "not enough data" in finding.reason


def test_other_bins_are_refused() -> None:
    """Counts over different bins cannot be compared."""
    with pytest.raises(DataError, match="3 bins"):
        drift([1, 2, 3], [1, 2])


def test_findings_are_ordered_and_judged() -> None:
    """What moved past the margin fails, what did not passes, the farthest stands first."""
    random = np.random.default_rng(5)
    before = counted(random, 60, EVEN)
    far = np.r_[0, np.linspace(0.02, 0.18, 10), 0]
    measures = {
        "still": drift(before, counted(random, 10, EVEN)),
        "far": drift(before, counted(random, 10, far)),
        "little": drift(before, np.full((9, 12), 1)),
    }
    found = {one.name: one for one in judge_drift(measures)}
    assert next(iter(found)) == "far"
    assert found["far"].verdict is Verdict.FAIL
    assert found["still"].verdict is Verdict.PASS
    assert found["little"].verdict is Verdict.UNDECIDED
    assert "past 0.1 and beyond chance" in found["far"].reason


def test_past_margin_by_chance_is_undecided() -> None:
    """A large effect that may be chance is no alarm, and what chance adds is taken off first."""
    random = np.random.default_rng(6)
    verdicts: set[str] = set()
    for _ in range(40):
        before, now = counted(random, 60, EVEN, alike=4), counted(random, 5, EVEN, alike=4)
        measure = drift(before.sum(axis=0), now)
        (found,) = judge_drift({"weather": measure})
        verdicts.add(found.verdict)
        if found.verdict is Verdict.UNDECIDED:
            assert "may be chance" in found.reason
        elif found.verdict is Verdict.PASS and (measure.effects["psi"].value or 0) > 0.1:
            verdicts.add("chance taken off")
            assert "chance adds is taken off" in found.reason
    assert verdicts >= {Verdict.UNDECIDED, "chance taken off"}


def test_many_features_are_adjusted() -> None:
    """P-values are adjusted over the features, more under dependence."""
    random = np.random.default_rng(7)
    before = counted(random, 60, EVEN)
    measures = {
        str(index): drift(before, counted(random, 7, EVEN), seed=index) for index in range(6)
    }
    loose = {one.name: one.adjusted_p for one in judge_drift(measures, dependent=False)}
    for one in judge_drift(measures):
        raw, other = one.measure.p_value, loose[one.name]
        assert raw is not None and other is not None and one.adjusted_p is not None  # noqa: PT018
        assert raw <= other <= one.adjusted_p


def test_measure_survives_json() -> None:
    """A measure can be kept as JSON and comes back equal."""
    found = drift(np.full(12, 500), np.full((7, 12), 40), edges=EDGES)
    assert msgspec.json.decode(msgspec.json.encode(found), type=DriftMeasure) == found
