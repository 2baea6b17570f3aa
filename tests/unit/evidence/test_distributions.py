"""The distributions, against scipy's own machinery for them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from shipway.evidence import distributions as ours

_SHARES = st.floats(0.0005, 0.9995)
_DEGREES = st.floats(1.0, 500.0)
_CLOSE = 1e-7


@given(_SHARES, _DEGREES)
def test_quantiles_are_those_of_scipy(share: float, degrees: float) -> None:
    """The normal's, Student's and the beta's quantiles agree with scipy.stats."""
    assert ours.normal_point(share) == pytest.approx(stats.norm.ppf(share), rel=_CLOSE)
    assert ours.student_point(share, degrees) == pytest.approx(
        stats.t.ppf(share, degrees), rel=_CLOSE, abs=_CLOSE
    )
    assert ours.beta_point(share, degrees, 3.0) == pytest.approx(
        stats.beta.ppf(share, degrees, 3.0), rel=_CLOSE
    )


@given(st.floats(0.0, 60.0), _DEGREES, _DEGREES)
def test_tails_are_those_of_scipy(value: float, upper: float, lower: float) -> None:
    """The normal's, chi-square's and F's tails agree with scipy.stats."""
    assert ours.normal_below(-value / 10) == pytest.approx(stats.norm.sf(value / 10), rel=_CLOSE)
    assert ours.chi_square_above(value, upper) == pytest.approx(
        stats.chi2.sf(value, upper), rel=_CLOSE, abs=1e-300
    )
    assert ours.f_above(value, upper, lower) == pytest.approx(
        stats.f.sf(value, upper, lower), rel=1e-5, abs=1e-12
    )


@given(_SHARES, st.integers(1, 5_000), st.floats(0.001, 0.999))
def test_binomial_quantiles_are_those_of_scipy(level: float, n: int, share: float) -> None:
    """The binomial's quantile is the smallest number that is likely enough."""
    found = ours.binomial_point(level, n, share)
    assert ours.binomial_below(found, n, share) >= level - 1e-12
    assert found == 0 or ours.binomial_below(found - 1, n, share) < level
    assert found == pytest.approx(stats.binom.ppf(level, n, share), abs=1)


def test_nothing_is_below_no_success() -> None:
    """Fewer than no successes have no chance."""
    assert ours.binomial_below(-1, 10, 0.5) == 0.0
